package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/audit"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// historyFlags are those of testbed history.
type historyFlags struct {
	user  string
	limit int
}

func (a *app) historyCommand() *cobra.Command {
	var f historyFlags
	cmd := a.outputFlag(&cobra.Command{
		Use:   "history",
		Short: "List the commands that your testbed was given, and what came of each",
		Long: `History lists what your agent manager was told to do, by whom, and the outcome, the latest first: as the monitor keeps
it, or, where there is no monitor, as the manager on this host wrote it down. What the command line did while no manager
was running is in neither.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.history(cmd.Context(), f) },
	})
	cmd.Flags().StringVar(&f.user, "user", "", "of another user's testbed; takes the operator role")
	cmd.Flags().IntVar(&f.limit, "limit", 20, "how many at most")
	completeLive(cmd, "user", a.userNames)
	return cmd
}

// told is one command and what came of it.
type told struct {
	Time        time.Time `json:"time"`
	Username    string    `json:"username"`
	Command     string    `json:"command"`
	CommandID   string    `json:"command_id"`
	IssuedBy    string    `json:"issued_by"`
	Config      string    `json:"config_name,omitempty"`
	Outcome     string    `json:"outcome"`
	Code        string    `json:"code,omitempty"`
	Text        string    `json:"text,omitempty"`
	ExecutionID string    `json:"execution_id,omitempty"`
	Seconds     float64   `json:"seconds"`
}

func (a *app) history(ctx context.Context, f historyFlags) error {
	p, err := a.findServer()
	if err != nil {
		return err
	}
	user := f.user
	if user == "" {
		user = p.username
	}
	if err := swf.CheckName(swf.KindUsername, user); err != nil {
		return err
	}
	if who := p.principal(a.log()); !who.MayActOn(user) {
		return swf.E(swf.CodeForbidden, fmt.Sprintf("%s may not see the commands of %s", p.username, user), "leave --user out to see your own; other users' take the operator role")
	}
	if f.limit < 1 {
		return usageError{swf.E(swf.CodeInvalidArgument, "--limit is a number of commands", "for example --limit 50")}
	}
	end := a.waiting("asking the monitor")
	list, note, err := p.told(ctx, user, f.limit)
	end()
	if err != nil {
		return err
	}
	var rows [][]string
	for _, c := range list {
		about := c.ExecutionID
		if about == "" {
			about = c.Config
		}
		if c.Code != "" {
			about = c.Code
		}
		rows = append(rows, []string{c.Time.Local().Format(time.DateTime), c.Command, c.IssuedBy, c.Outcome, fmt.Sprintf("%.1f s", c.Seconds), about, c.CommandID})
	}
	return a.show(list, listText("TIME COMMAND BY OUTCOME TOOK ABOUT COMMAND_ID", rows, "no commands yet", note))
}

// told asks the monitor, and the trail of the manager on this host when that
// cannot tell.
func (p *place) told(ctx context.Context, user string, limit int) ([]told, string, error) {
	m, err := p.monitor()
	if err != nil {
		return nil, "", err
	}
	if m != nil {
		defer m.Close()
		list, err := toldByMonitor(ctx, m, user, limit)
		if err == nil {
			return list, "", nil
		}
		if user != p.username {
			return nil, "", err
		}
	} else if user != p.username {
		return nil, "", swf.E(swf.CodeMonitorUnavailable, "no monitor is configured", "set SWF_MONITOR_URL")
	}
	list, err := p.toldByTrail(limit)
	return list, "the monitor could not tell: these are from the agent manager's own trail on this host", err
}

// maxTold bounds how many of the manager's log records are looked through.
const maxTold = 1000

// toldByMonitor reads the records in which a manager tells its outcomes. Only
// its own count: the name of the instance and the user inside must agree.
func toldByMonitor(ctx context.Context, m *monitor.Client, user string, limit int) ([]told, error) {
	page, err := m.Logs(ctx, monitor.LogFilter{App: swf.AppManager, Instance: swf.ManagerInstance(user), Search: " asked by "}, maxTold, 0)
	if err != nil {
		return nil, err
	}
	list := []told{}
	for _, e := range page.Items {
		c := told{Time: e.Timestamp.Time}
		if e.FuncName != swf.FuncCommand || json.Unmarshal(e.ExtraData, &c) != nil || c.Username != user {
			continue
		}
		c.Time = e.Timestamp.Time
		if list = append(list, c); len(list) == limit {
			break
		}
	}
	return list, nil
}

// toldByTrail reads the manager's audit trail, the latest first.
func (p *place) toldByTrail(limit int) ([]told, error) {
	f, err := os.Open(p.paths.Audit("manager"))
	if errors.Is(err, fs.ErrNotExist) {
		return []told{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list := []told{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r audit.Record
		if json.Unmarshal(lines.Bytes(), &r) != nil || r.CommandID == "" {
			continue // not a command that got past the door
		}
		c := told{Time: r.Time, Username: r.Target, Command: r.Action, CommandID: r.CommandID, IssuedBy: r.Who, Outcome: r.Outcome, Code: r.Code, Text: r.Reason, Seconds: r.Millis / 1000}
		c.Config, _ = r.Arguments["config_name"].(string)
		list = append(list, c)
	}
	slices.Reverse(list)
	return list[:min(len(list), limit)], lines.Err()
}
