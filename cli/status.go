package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// statusFlags are those of testbed status.
type statusFlags struct {
	user, command string
	watch         bool
}

func (a *app) statusCommand() *cobra.Command {
	var f statusFlags
	cmd := a.outputFlag(&cobra.Command{
		Use:   "status",
		Short: "Show your testbed: its programs, its manager, its workflows",
		Long: `Status shows what runs on this host. With --user, or with --command, it asks the agent manager and the monitor, as an
assistant would; another user's testbed takes the operator role.`,
		Example: `  testbed status --watch
  testbed status --command 0197c1d2-5f2e-7c3a-9a51-0c5b1f1d2e3f`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.statusOf(cmd.Context(), f) },
	})
	cmd.Flags().StringVar(&f.user, "user", "", "whose testbed; default: yours")
	cmd.Flags().StringVar(&f.command, "command", "", "also what came of the command with this id")
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "look again every 2 s until Ctrl-C; where the output is no terminal, tell what has changed")
	completeLive(cmd, "user", a.userNames)
	return cmd
}

func (a *app) statusOf(ctx context.Context, f statusFlags) error {
	look := a.status
	if f.user != "" || f.command != "" {
		r, err := a.remote()
		if err != nil {
			return err
		}
		defer r.close()
		look = func(ctx context.Context) (seen, error) { return r.status(ctx, f.user, f.command) }
	}
	if f.watch {
		return a.again(ctx, watchEvery, look)
	}
	s, err := look(ctx)
	if s.value != nil {
		if err := a.show(s.value, s.text); err != nil {
			return err
		}
	}
	return err
}

// status asks the tools. The error is also that of the command that was asked
// for.
func (r *remote) status(ctx context.Context, user, command string) (seen, error) {
	s, err := call[tools.StatusOut](ctx, r, "get_testbed_status", map[string]any{"username": user, "command_id": command})
	if err != nil {
		return seen{}, err
	}
	if s.Command != nil && s.Command.Outcome != control.Succeeded {
		err = outcomeError{control.Reply{CommandID: s.Command.CommandID, Outcome: s.Command.Outcome, Error: s.Command.Error}}
	}
	return seen{s, inCommands(s.Text())}, err
}

// testbedStatus is what testbed status prints as JSON. What could not be
// learnt is null, never a guess.
type testbedStatus struct {
	Username  string           `json:"username"`
	Dir       string           `json:"dir"`
	State     swf.TestbedState `json:"state"`
	Namespace string           `json:"namespace,omitempty"`
	Config    string           `json:"config,omitempty"`
	Programs  []swf.Program    `json:"programs"`
	Manager   *control.Pong    `json:"manager"` // null: none runs on this host
	Workflows []swf.Execution  `json:"running_workflows"`
	Monitor   string           `json:"monitor"` // ok, or why not
}

// status looks at the testbed of this host.
func (a *app) status(ctx context.Context) (seen, error) {
	p, err := a.find()
	if err != nil {
		return seen{}, err
	}
	defer a.waiting("looking at your testbed")()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s := testbedStatus{Username: p.username, Dir: p.paths.Dir}
	r, asked, err := p.askManager(ctx, p.command(control.Status))
	if err != nil {
		return seen{}, err
	}
	if asked && r.Outcome == control.Succeeded {
		s.Manager, s.State, s.Programs, s.Namespace, s.Config = r.Pong, r.Pong.State, r.Programs, r.Namespace, r.Config
	} else {
		o, err := p.testbed(a.log()).Observe(ctx)
		if err != nil {
			return seen{}, err
		}
		s.State, s.Programs, s.Namespace, s.Config = o.State, o.Programs, o.Namespace, o.Config
	}
	s.Monitor, s.Workflows = p.workflows(ctx)
	return seen{s, s.text()}, nil
}

// workflows asks the monitor which executions of this user run.
func (p *place) workflows(ctx context.Context) (string, []swf.Execution) {
	m, err := p.monitor()
	if err != nil {
		return err.Error(), nil
	}
	if m == nil {
		return "none is configured (SWF_MONITOR_URL)", nil
	}
	list, err := m.Executions(ctx, monitor.Filter{Status: swf.ExecutionRunning, ExecutedBy: p.username})
	if err != nil {
		return swf.AsError(err).Message, nil
	}
	return "ok", list
}

func (s testbedStatus) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "testbed of %s in %s: %s", s.Username, s.Dir, s.State)
	if s.Namespace != "" {
		fmt.Fprintf(&b, " (namespace %s, configuration %s)", s.Namespace, s.Config)
	}
	b.WriteByte('\n')
	b.WriteString(programLines(s.Programs))
	switch {
	case s.Manager == nil:
		b.WriteString("agent manager: none on this host (start it: testbed agent-manager)\n")
	default:
		host, _ := os.Hostname()
		fmt.Fprintf(&b, "agent manager: pid %d on %s", s.Manager.PID, host)
		if s.Manager.BusyWith != "" {
			fmt.Fprintf(&b, ", busy with %s %s", s.Manager.BusyWith, s.Manager.BusyID)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "monitor: %s\n", s.Monitor)
	for _, e := range s.Workflows {
		fmt.Fprintf(&b, "running workflow: %s since %s\n", e.ExecutionID, e.StartTime.Local().Format("15:04:05"))
	}
	return b.String()
}
