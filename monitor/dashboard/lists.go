package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// listing is what the pages of lists show.
type listing[T any] struct {
	Filters *filters
	Rows    []T
	More    bool
	Choices map[string][]string // what a filter may be, where that is known
}

// executions is the page of all executions, newest first.
func (d *Dashboard) executions(v *visit) (view, error) {
	f := readFilters(v.r.URL)
	f.equal("status", "status")
	f.equal("user", "executed_by")
	f.equal("namespace", "namespace")
	f.contains("q", "execution_id")
	f.since("since", "start_time", d.o.Now())
	found, err := d.executionList(v.r.Context(), f.query)
	choices := map[string][]string{"status": {swf.ExecutionRunning, swf.ExecutionCompleted, swf.ExecutionFailed, swf.ExecutionTerminated, swf.ExecutionLost}}
	return view{Title: "Executions", Template: "executions", Body: listing[execution]{f, found.rows, found.more, choices}}, err
}

// messages is the page of what was said on the bus, newest first.
func (d *Dashboard) messages(v *visit) (view, error) {
	f := readFilters(v.r.URL)
	f.equal("execution", "execution_id")
	f.equal("type", "message_type")
	f.equal("sender", "sender_agent")
	f.equal("namespace", "namespace")
	f.equal("run", "run_id")
	f.contains("q", "message_content")
	f.since("since", "sent_at", d.o.Now())
	found, err := listOf[swf.RecordedMessage](v.r.Context(), d.o.Store, store.Messages, f.query)
	choices := map[string][]string{"type": {swf.MsgRunImminent, swf.MsgStartRun, swf.MsgSTFGen, swf.MsgSTFReady, swf.MsgTFFileRegistered,
		swf.MsgPauseRun, swf.MsgResumeRun, swf.MsgEndRun, swf.MsgProcessingComplete}}
	return view{Title: "Messages", Template: "messages", Body: listing[swf.RecordedMessage]{f, found.rows, found.more, choices}}, err
}

// levels are the log levels of the contract, Python's, by name.
var levels = map[string]int64{"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}

// logs is the page of log records, newest first.
func (d *Dashboard) logs(v *visit) (view, error) {
	f := readFilters(v.r.URL)
	if name := f.Get("level"); name != "" {
		if level, ok := levels[name]; ok {
			f.query.Where = append(f.query.Where, store.Condition{Column: "level", Is: store.AtLeast, Value: level})
		} else {
			f.wrong("level")
		}
	}
	f.equal("instance", "instance_name")
	f.contains("execution", "extra_data")
	f.contains("q", "message")
	f.since("since", "timestamp", d.o.Now())
	found, err := listOf[swf.LogEntry](v.r.Context(), d.o.Store, store.Logs, f.query)
	names := slices.SortedFunc(maps.Keys(levels), func(a, b string) int { return int(levels[a] - levels[b]) })
	return view{Title: "Logs", Template: "logs", Body: listing[swf.LogEntry]{f, found.rows, found.more, map[string][]string{"level": names}}}, err
}

// command is one command's outcome, as the manager that has it in its journal
// told it.
type command struct {
	At          swf.Timestamp `json:"-"`
	Username    string        `json:"username"`
	Command     string        `json:"command"`
	CommandID   string        `json:"command_id"`
	IssuedBy    string        `json:"issued_by"`
	Source      string        `json:"source"`
	Config      string        `json:"config_name"`
	Outcome     string        `json:"outcome"`
	Code        string        `json:"code"`
	Text        string        `json:"text"`
	ExecutionID string        `json:"execution_id"`
	AcceptedAt  swf.Timestamp `json:"accepted_at"`
	Seconds     float64       `json:"seconds"`
}

// Took is how long it took, from its acceptance to its outcome.
func (c *command) Took() string {
	if c.Seconds < 1 {
		return strconv.Itoa(int(c.Seconds*1000)) + " ms"
	}
	return fmt.Sprintf("%.1f s", c.Seconds)
}

// commands is the page of who asked what, and what became of it.
func (d *Dashboard) commands(v *visit) (view, error) {
	f := readFilters(v.r.URL)
	if user := f.Get("user"); user != "" {
		f.query.Equal["instance_name"] = swf.ManagerInstance(user)
	}
	for _, name := range []string{"outcome", "command", "issued_by"} {
		if text := f.Get(name); text != "" {
			quoted, _ := json.Marshal(text) // of a text it cannot fail
			f.query.Where = append(f.query.Where, store.Condition{Column: "extra_data", Is: store.Contains, Value: `"` + name + `":` + string(quoted)})
		}
	}
	f.contains("q", "extra_data")
	f.since("since", "timestamp", d.o.Now())
	found, err := d.commandList(v.r.Context(), f.query)
	choices := map[string][]string{"outcome": {"succeeded", "failed", "refused", "expired"},
		"command": {"start_testbed", "stop_testbed", "run_workflow", "stop_workflow", "restart"}}
	return view{Title: "Commands", Template: "commands", Body: listing[command]{f, found.rows, found.more, choices}}, err
}

// commandList reads commands. Only a manager's own records count: the name of
// the instance and the user inside must agree.
func (d *Dashboard) commandList(ctx context.Context, q store.Query) (rows[command], error) {
	equal := map[string]any{"app_name": swf.AppManager, "funcname": swf.FuncCommand}
	maps.Copy(equal, q.Equal)
	q.Equal = equal
	records, err := listOf[swf.LogEntry](ctx, d.o.Store, store.Logs, q)
	if err != nil {
		return rows[command]{}, err
	}
	out := rows[command]{more: records.more}
	for _, e := range records.rows {
		c := command{At: e.Timestamp}
		if json.Unmarshal(e.ExtraData, &c) == nil && swf.ManagerInstance(c.Username) == e.InstanceName && !strings.ContainsAny(c.Outcome, " \n") {
			out.rows = append(out.rows, c)
		}
	}
	return out, nil
}
