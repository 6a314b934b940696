package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/swf"
)

func (a *app) runCommand() *cobra.Command {
	var w waitFlags
	cmd := a.outputFlag(&cobra.Command{
		Use:   "run [CONFIG]",
		Short: "Start your agents and run the workflow of the configuration",
		Long: `Run starts supervisord, the workflow runner and the enabled agents of a configuration, and then its workflow.
CONFIG is NAME, NAME.toml or NAME_default.toml in workflows/ (default: SWF_TESTBED_CONFIG, else testbed.toml).`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return a.run(cmd.Context(), name, w)
		},
		ValidArgsFunction: completion(1, a.configNames),
	})
	w.add(cmd, "until the workflow has ended, and say how")
	return cmd
}

// ran is what testbed run prints as JSON.
type ran struct {
	Start    control.Reply  `json:"start"`
	Workflow *control.Reply `json:"workflow,omitempty"`
}

func (a *app) run(ctx context.Context, name string, w waitFlags) error {
	if err := needLinux("testbed run"); err != nil {
		return err
	}
	p, err := a.find()
	if err != nil {
		return err
	}
	p.banner(name)
	start := p.command(control.StartTestbed)
	start.ConfigName = name
	start.Complete(time.Now())
	if err := start.Check(); err != nil {
		return err
	}
	if w.no {
		return a.noWait(ctx, p, start)
	}
	end := a.waiting("starting your agents")
	defer end()
	r, err := p.do(ctx, start)
	if err != nil {
		return err
	}
	result := ran{Start: r}
	if r.Outcome == control.Succeeded {
		workflow, err := p.do(ctx, p.runWorkflowCommand())
		if err != nil {
			return err
		}
		result.Workflow, r = &workflow, workflow
	}
	end()
	text := programLines(result.Start.Programs)
	if r.Outcome == control.Succeeded {
		text += fmt.Sprintf("Workflow triggered: %s in namespace %s\n", r.ExecutionID, result.Start.Namespace)
	}
	if err := a.show(result, text); err != nil {
		return err
	}
	if err := outcome(r); err != nil || !w.yes {
		return err
	}
	return a.untilEnd(ctx, r.ExecutionID)
}

func (p *place) runWorkflowCommand() control.Command {
	c := p.command(control.RunWorkflow)
	c.Params = json.RawMessage(`{}`)
	c.Complete(time.Now())
	return c
}

// do has the manager on this host carry out a command, or does it in this
// process where none lives.
func (p *place) do(ctx context.Context, c control.Command) (control.Reply, error) {
	if c.Verb == control.StopTestbed {
		return p.stop(ctx, c)
	}
	r, asked, err := p.askManager(ctx, c)
	if asked || err != nil {
		return r, err
	}
	tb := p.testbed(p.app.log())
	if c.Verb == control.RunWorkflow {
		return p.runHere(ctx, tb, c)
	}
	return p.startHere(ctx, tb, c), nil
}

func (p *place) startHere(ctx context.Context, tb *manager.Testbed, c control.Command) control.Reply {
	s, err := tb.Start(ctx, manager.StartRequest{ID: c.ID, ConfigName: c.ConfigName, Progress: p.say})
	r := control.Reply{CommandID: c.ID, Kind: control.Final, Outcome: control.Succeeded, Programs: s.Programs, Namespace: s.Namespace, Config: s.Config}
	if err != nil {
		r.Outcome, r.Error = control.Failed, swf.AsError(err)
		if !s.Acted {
			r.Outcome = control.Refused
		}
	}
	return r
}

func (p *place) stopHere(ctx context.Context, tb *manager.Testbed, c control.Command) control.Reply {
	s, err := tb.Stop(ctx, p.say)
	r := control.Reply{CommandID: c.ID, Kind: control.Final, Outcome: control.Succeeded, Programs: s.Programs, Namespace: s.Namespace, Config: s.Config,
		Message: manager.StoppedMessage(s)}
	if err != nil {
		r.Outcome, r.Error = control.Failed, swf.AsError(err)
	}
	return r
}

// runHere speaks to the runner through the broker, as a manager would.
func (p *place) runHere(ctx context.Context, tb *manager.Testbed, c control.Command) (control.Reply, error) {
	o, err := p.broker(p.app.log())
	if err != nil {
		return control.Reply{}, err
	}
	bus := amq.New(o)
	busCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = bus.Run(busCtx)
	}()
	defer func() { end(); <-ended }()
	client := control.NewClient(control.ClientOptions{Bus: bus, Keys: tb.RunnerKey, Login: o.Login, Queue: swf.WorkflowQueue, Source: "cli", Log: p.app.log()})
	defer client.Close()
	return manager.Runner{Testbed: tb, Client: client}.Run(ctx, &c, p.say), nil
}
