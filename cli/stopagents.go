package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

func (a *app) stopAgentsCommand() *cobra.Command {
	yes := false
	var w waitFlags
	cmd := &cobra.Command{
		Use:   "stop-agents",
		Short: "Stop all your workflow agents and their supervisord",
		Long: `Stop-agents stops every program of agents.supervisord.conf, waits until none is left, and shuts supervisord down.
The web services of supervisord.conf are not touched. Stopping what does not run succeeds.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.stopAgents(cmd.Context(), yes, w) },
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask, although a workflow runs")
	w.add(cmd, "until no program is left, which is the default")
	return a.outputFlag(cmd)
}

func (a *app) stopAgents(ctx context.Context, yes bool, w waitFlags) error {
	if err := needLinux("testbed stop-agents"); err != nil {
		return err
	}
	p, err := a.find()
	if err != nil {
		return err
	}
	if err := a.confirmStop(p, yes); err != nil {
		return err
	}
	c := p.command(control.StopTestbed)
	c.Complete(time.Now())
	if w.no {
		return a.noWait(ctx, p, c)
	}
	end := a.waiting("stopping your agents")
	r, err := p.do(ctx, c)
	end()
	if err != nil {
		return err
	}
	headline := r.Message
	if headline == "" {
		headline = "stopped"
	}
	return a.showReply(r, headline)
}

// confirmStop asks a person at a terminal before a running workflow is lost. A
// script is not asked: it said what it wants.
func (a *app) confirmStop(p *place, yes bool) error {
	in, ok := a.in.(*os.File)
	if yes || !ok || !isatty.IsTerminal(in.Fd()) {
		return nil
	}
	open, err := control.Runs{Dir: p.paths.Runs()}.Open()
	if err != nil || len(open) == 0 {
		return err
	}
	fmt.Fprintf(a.err, "Workflow %s is running and would be terminated. Stop all the same? [y/N] ", open[len(open)-1].ExecutionID)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err == nil && strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "y") {
		return nil
	}
	return swf.E(swf.CodeConfirmationNeeded, "nothing was stopped", "answer y, or call it with --yes")
}
