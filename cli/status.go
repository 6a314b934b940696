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
)

func (a *app) statusCommand() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:   "status",
		Short: "Show your testbed: its programs, its manager, its workflows",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context()) },
	})
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

func (a *app) status(ctx context.Context) error {
	p, err := a.find()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s := testbedStatus{Username: p.username, Dir: p.paths.Dir}
	r, asked, err := p.askManager(ctx, p.command(control.Status))
	if err != nil {
		return err
	}
	if asked && r.Outcome == control.Succeeded {
		s.Manager, s.State, s.Programs, s.Namespace, s.Config = r.Pong, r.Pong.State, r.Programs, r.Namespace, r.Config
	} else {
		seen, err := p.testbed(a.log()).Observe(ctx)
		if err != nil {
			return err
		}
		s.State, s.Programs, s.Namespace, s.Config = seen.State, seen.Programs, seen.Namespace, seen.Config
	}
	s.Monitor, s.Workflows = p.workflows(ctx)
	return a.show(s, s.text())
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
