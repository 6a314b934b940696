package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/swf"
)

// waitFlags say what a command waits for.
type waitFlags struct{ yes, no bool }

// add declares them; until says what --wait waits for.
func (w *waitFlags) add(cmd *cobra.Command, until string) {
	cmd.Flags().BoolVar(&w.yes, "wait", false, "wait "+until)
	cmd.Flags().BoolVar(&w.no, "no-wait", false, "only have the agent manager accept it; testbed status --command tells later what came of it")
	exclusive(cmd, "wait", "no-wait")
}

// exclusive refuses two flags that contradict each other, as wrong usage.
func exclusive(cmd *cobra.Command, one, other string) {
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed(one) && cmd.Flags().Changed(other) {
			return usageError{swf.E(swf.CodeInvalidArgument, fmt.Sprintf("--%s and --%s contradict each other", one, other), "leave one of them out")}
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}

// noWait has the manager on this host accept a command, and leaves: it goes on
// without us. Where none lives there is nobody who would.
func (a *app) noWait(ctx context.Context, p *place, c control.Command) error {
	socket, err := manager.LocalSocket(p.paths)
	if err != nil {
		return err
	}
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	accepted := false
	r, err := manager.AskLocal(ctx, socket, c, func(r control.Reply) {
		if r.Kind == control.Accepted {
			accepted = true
			leave()
		}
	})
	switch {
	case isNoManager(err):
		return swf.E(swf.CodeNoManager, "no agent manager runs on this host, and without one there is nobody to go on when this command ends", "leave --no-wait out, or start one: testbed agent-manager")
	case err != nil && !accepted:
		return err
	case accepted:
		r = control.Reply{CommandID: c.ID, Kind: control.Final, Outcome: control.Pending}
	}
	text := programLines(r.Programs)
	if r.Outcome == control.Pending {
		text = fmt.Sprintf("accepted as %s\nlater: testbed status --command %s\n", c.ID, c.ID)
	}
	if err := a.show(r, text); err != nil {
		return err
	}
	if accepted {
		return nil // that is what was asked for
	}
	return outcome(r)
}
