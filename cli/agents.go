package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/tools"
)

// agentsFlags are those of testbed agents.
type agentsFlags struct {
	user, namespace, kind, status string
	limit                         int
}

func (a *app) agentsCommand() *cobra.Command {
	var f agentsFlags
	cmd := a.outputFlag(&cobra.Command{
		Use:   "agents",
		Short: "List the agents that the monitor has heard of",
		Long: `Agents lists your agents and managers and those in your namespaces, the last heard first, as the monitor knows them.
An operator sees everybody's.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.agents(cmd.Context(), f) },
	})
	cmd.Flags().StringVar(&f.user, "user", "", "only this user's")
	cmd.Flags().StringVar(&f.namespace, "namespace", "", "only in this namespace")
	cmd.Flags().StringVar(&f.kind, "type", "", "only of this type, for example DATA")
	cmd.Flags().StringVar(&f.status, "status", "", "running, stopped, exited or all; default: all but exited")
	cmd.Flags().IntVar(&f.limit, "limit", 100, "how many at most, up to 100")
	completeLive(cmd, "user", a.userNames)
	complete(cmd, "status", "running", "stopped", "exited", "all")
	return cmd
}

func (a *app) agents(ctx context.Context, f agentsFlags) error {
	r, err := a.remote()
	if err != nil {
		return err
	}
	defer r.close()
	list, err := call[tools.ListOut[tools.AgentRow]](ctx, r, "list_agents",
		map[string]any{"username": f.user, "namespace": f.namespace, "agent_type": f.kind, "status": f.status, "limit": f.limit})
	if err != nil {
		return err
	}
	var rows [][]string
	for _, g := range list.Items {
		heard := "never"
		if g.LastHeartbeat != nil {
			heard = since(*g.LastHeartbeat)
		}
		rows = append(rows, []string{g.Name, g.Type, g.Status, g.State, g.Namespace, g.Host, heard})
	}
	return a.show(list, listText("NAME TYPE STATUS STATE NAMESPACE HOST HEARD", rows, "the monitor knows no such agents", list.Note))
}

// listText is a table, or why it is empty, and what is to be noted.
func listText(head string, rows [][]string, none, note string) string {
	text := none + "\n"
	if len(rows) > 0 {
		text = table(head, rows)
	}
	if note != "" {
		text += "note: " + inCommands(note) + "\n"
	}
	return text
}

// since is how long ago that was.
func since(t time.Time) string { return span(max(0, time.Since(t))) + " ago" }

// span is a length of time in its largest unit, as people say it.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
