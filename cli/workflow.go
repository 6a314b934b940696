package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

func (a *app) workflowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "workflow", Short: "Start, stop and watch workflow runs", Args: cobra.ArbitraryArgs, RunE: helpOrUnknown}
	cmd.AddCommand(a.workflowStartCommand(), a.workflowStopCommand(), a.workflowListCommand(), a.workflowShowCommand(), a.workflowWatchCommand())
	return cmd
}

// runFlags are those of testbed workflow start.
type runFlags struct {
	user, config   string
	fast, realtime bool
	duration       float64
	stfs, periods  int
	period, each   float64
	wait           waitFlags
}

func (a *app) workflowStartCommand() *cobra.Command {
	var f runFlags
	cmd := a.outputFlag(&cobra.Command{
		Use:   "start [WORKFLOW]",
		Short: "Run a workflow in your running testbed",
		Long: `Start has your workflow runner execute a workflow, and answers its execution id as soon as the runner has taken it.
What is not said here is as the testbed's configuration has it. The agents must be running: testbed run starts them.`,
		Example: `  testbed workflow start
  testbed workflow start stf_datataking --stf-count 10 --wait`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return a.workflowStart(cmd.Context(), name, f)
		},
		ValidArgsFunction: completion(1, a.workflowNames),
	})
	flags := cmd.Flags()
	flags.StringVar(&f.user, "user", "", "in whose testbed; default: yours")
	flags.StringVar(&f.config, "config", "", "the workflow's configuration, for example fast_processing_default")
	flags.BoolVar(&f.realtime, "realtime", false, "simulated time passes like real time")
	flags.BoolVar(&f.fast, "no-realtime", false, "as fast as possible")
	flags.Float64Var(&f.duration, "duration", 0, "seconds of simulated time after which to end; 0: no limit")
	flags.IntVar(&f.stfs, "stf-count", 0, "how many super time frames to take")
	flags.IntVar(&f.periods, "physics-period-count", 0, "how many physics periods")
	flags.Float64Var(&f.period, "physics-period-duration", 0, "seconds that each physics period lasts")
	flags.Float64Var(&f.each, "stf-interval", 0, "seconds between super time frames")
	exclusive(cmd, "realtime", "no-realtime")
	f.wait.add(cmd, "until it has ended, and say how")
	completeLive(cmd, "config", a.configNames)
	completeLive(cmd, "user", a.userNames)
	return cmd
}

// arguments are those of the tool start_workflow.
func (f *runFlags) arguments(name string) map[string]any {
	m := map[string]any{"username": f.user, "workflow_name": name, "config": f.config, "duration": f.duration,
		"stf_count": f.stfs, "physics_period_count": f.periods, "physics_period_duration": f.period, "stf_interval": f.each}
	if f.realtime || f.fast {
		m["realtime"] = &f.realtime
	}
	return given(m)
}

func (a *app) workflowStart(ctx context.Context, name string, f runFlags) error {
	if name != "" {
		if err := a.knownWorkflow(name); err != nil {
			return err
		}
	}
	p, err := a.findServer()
	if err != nil {
		return err
	}
	var r control.Reply
	if f.user != "" && f.user != p.username {
		if f.wait.no {
			return usageError{swf.E(swf.CodeInvalidArgument, "--no-wait is for your own testbed", "leave it out: the answer comes within 25 s at the latest")}
		}
		r, err = a.startElsewhere(ctx, f.arguments(name))
	} else {
		r, err = a.startHere(ctx, f, name)
		if f.wait.no {
			return err
		}
	}
	if err != nil {
		return err
	}
	if err := a.show(r, runText(r)); err != nil {
		return err
	}
	if err := outcome(r); err != nil || !f.wait.yes {
		return err
	}
	return a.untilEnd(ctx, r.ExecutionID)
}

func runText(r control.Reply) string {
	if r.Outcome != control.Succeeded {
		return ""
	}
	return fmt.Sprintf("Workflow triggered: %s\nsee it: testbed workflow watch %s\n", r.ExecutionID, r.ExecutionID)
}

// startHere goes to the manager of this host, or to the runner where none
// lives.
func (a *app) startHere(ctx context.Context, f runFlags, name string) (control.Reply, error) {
	p, err := a.find()
	if err != nil {
		return control.Reply{}, err
	}
	params := control.RunParams{Workflow: name, Config: f.config, Duration: f.duration, Params: map[string]any{}}
	if f.realtime || f.fast {
		params.Realtime = &f.realtime
	}
	for key, v := range f.arguments("") {
		switch key {
		case "stf_count", "physics_period_count", "physics_period_duration", "stf_interval":
			params.Params[key] = v
		}
	}
	c := p.runWorkflowCommand()
	if c.Params, err = json.Marshal(params); err != nil {
		return control.Reply{}, err
	}
	if err := c.Check(); err != nil {
		return control.Reply{}, err
	}
	if f.wait.no {
		return control.Reply{}, a.noWait(ctx, p, c)
	}
	defer a.waiting("starting the workflow")()
	return p.do(ctx, c)
}

// startElsewhere goes to another user's manager, by the tools.
func (a *app) startElsewhere(ctx context.Context, arguments map[string]any) (control.Reply, error) {
	r, err := a.remote()
	if err != nil {
		return control.Reply{}, err
	}
	defer r.close()
	out, err := call[tools.RunOut](ctx, r, "start_workflow", arguments)
	if err != nil {
		return control.Reply{}, err
	}
	return control.Reply{CommandID: out.CommandID, Kind: control.Final, Outcome: out.Outcome, ExecutionID: out.ExecutionID, Namespace: out.Namespace, Config: out.Config}, nil
}

// knownWorkflow refuses a name that is no workflow's before anything is asked.
func (a *app) knownWorkflow(name string) error {
	if err := swf.CheckName(swf.KindWorkflow, name); err != nil {
		return err
	}
	s, err := a.configSources()
	if err != nil {
		return err
	}
	all := config.WorkflowNames(s)
	for _, known := range all {
		if known == name {
			return nil
		}
	}
	return swf.E(swf.CodeUnknownWorkflow, fmt.Sprintf("there is no workflow %q", name), didYouMean(name, all, "the workflows are"))
}

func (a *app) workflowStopCommand() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:   "stop [EXECUTION]",
		Short: "End a workflow run at once; agents go on running",
		Long:  `Stop ends one execution. Without an id it is the one of yours that runs, if there is just one.`,
		Args:  usageArgs(cobra.MaximumNArgs(1)),
		RunE: a.onExecution(swf.ExecutionRunning, func(ctx context.Context, r *remote, id string) error {
			out, err := call[tools.EndOut](ctx, r, "stop_workflow", map[string]any{"execution_id": id})
			if err != nil {
				return err
			}
			return a.show(out, fmt.Sprintf("Workflow stopped: %s\n", id))
		}),
		ValidArgsFunction: completion(1, a.executions(swf.ExecutionRunning)),
	})
}

// onExecution is a command about one execution: the one that its argument
// names, else the latest of this user in that status.
func (a *app) onExecution(status string, do func(ctx context.Context, r *remote, id string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		r, err := a.remote()
		if err != nil {
			return err
		}
		defer r.close()
		id, err := r.executionFor(cmd.Context(), args, status)
		if err != nil {
			return err
		}
		return do(cmd.Context(), r, id)
	}
}

// executionFor is the execution that the arguments name, else the latest of
// this user in that status; of those that run there must be one alone.
func (r *remote) executionFor(ctx context.Context, args []string, status string) (string, error) {
	if len(args) == 1 {
		return args[0], swf.CheckName(swf.KindExecution, args[0])
	}
	list, err := call[tools.ListOut[tools.ExecutionRow]](ctx, r, "list_workflow_executions", map[string]any{"username": r.who.Name, "status": status})
	if err != nil {
		return "", err
	}
	switch {
	case len(list.Items) == 0 && status == swf.ExecutionRunning:
		return "", swf.E(swf.CodeNotRunning, "no workflow of yours is running", "testbed workflow list shows those that were")
	case len(list.Items) == 0:
		return "", swf.E(swf.CodeUnknownExecution, "you have run no workflow in the last 24 hours", "testbed workflow list --hours 168 looks further back")
	case len(list.Items) > 1 && status == swf.ExecutionRunning:
		return "", swf.E(swf.CodeInvalidArgument, fmt.Sprintf("%d workflows of yours are running", len(list.Items)), "name one: "+list.Items[0].ExecutionID+" or another of testbed workflow list")
	}
	return list.Items[0].ExecutionID, nil
}

func clockTime(t time.Time) string { return t.Local().Format(time.DateTime) }
