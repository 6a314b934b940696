package manager

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// What the monitor is told of commands: one log record for each outcome, in
// the contract's shape (1.4), so that any monitor keeps it. The journal is the
// truth; this is its copy for people who look, and may be lost.
const (
	toldQueue = 256             // outcomes that wait for a monitor that is away
	toldPause = 5 * time.Second // between two tries
	toldLast  = 2 * time.Second // for what is left when the manager leaves
	toldText  = 1000            // bytes of an error's text
)

// commandTold is extra_data of such a record.
type commandTold struct {
	Username    string          `json:"username"`
	Command     control.Verb    `json:"command"`
	CommandID   string          `json:"command_id"`
	IssuedBy    string          `json:"issued_by"`
	Source      string          `json:"source,omitempty"`
	Config      string          `json:"config_name,omitempty"`
	Outcome     control.Outcome `json:"outcome"`
	Code        swf.Code        `json:"code,omitempty"`
	Text        string          `json:"text,omitempty"`
	ExecutionID string          `json:"execution_id,omitempty"`
	AcceptedAt  swf.Timestamp   `json:"accepted_at"`
	Seconds     float64         `json:"seconds"`
}

// report queues the outcome of a command for the monitor. It never waits: the
// outcome that finds no room is left out.
func (m *Manager) report(rec *record) {
	if m.o.Monitor == nil || rec.Outcome == nil {
		return
	}
	select {
	case m.told <- rec:
	default:
		m.log.Warn("the monitor is not told of an outcome, too many wait for it", "command_id", rec.Command.ID)
	}
}

// tellOutcomes posts them until ctx ends, each until the monitor has taken it,
// and then once more what is left.
func (m *Manager) tellOutcomes(ctx context.Context) {
	for {
		select {
		case rec := <-m.told:
			for m.postOutcome(ctx, rec) != nil {
				select {
				case <-time.After(toldPause):
					continue
				case <-ctx.Done():
				}
				m.tellLast(ctx, rec)
				return
			}
		case <-ctx.Done():
			m.tellLast(ctx, nil)
			return
		}
	}
}

// tellLast posts what is left when ctx has ended, first the one at hand, if any.
func (m *Manager) tellLast(ctx context.Context, rec *record) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), toldLast)
	defer cancel()
	for {
		if rec != nil && m.postOutcome(ctx, rec) != nil {
			return
		}
		select {
		case rec = <-m.told:
		default:
			return
		}
	}
}

func (m *Manager) postOutcome(ctx context.Context, rec *record) error {
	ctx, cancel := context.WithTimeout(ctx, monitorWait)
	defer cancel()
	return m.o.Monitor.PostLog(ctx, outcomeEntry(rec))
}

// outcomeEntry is the log record of an outcome.
func outcomeEntry(rec *record) swf.LogEntry {
	c, r := &rec.Command, rec.Outcome
	told := commandTold{Username: c.Username, Command: c.Verb, CommandID: c.ID, IssuedBy: c.IssuedBy, Source: c.Source, Config: c.ConfigName,
		Outcome: r.Outcome, ExecutionID: r.ExecutionID, AcceptedAt: swf.At(rec.AcceptedAt), Seconds: rec.DoneAt.Sub(rec.AcceptedAt).Seconds()}
	level, name := 20, "INFO"
	if told.Text = r.Message; r.Error != nil {
		level, name = 30, "WARNING"
		told.Code, told.Text = r.Error.Code, r.Error.Message
	}
	if r.Outcome == control.Failed {
		level, name = 40, "ERROR"
	}
	told.Text = told.Text[:min(len(told.Text), toldText)]
	return swf.LogEntry{
		AppName: swf.AppManager, InstanceName: swf.ManagerInstance(c.Username), Timestamp: swf.At(rec.DoneAt), Level: level, LevelName: name,
		Message: fmt.Sprintf("%s asked by %s: %s in %.1f s", c.Verb, c.IssuedBy, r.Outcome, told.Seconds),
		Module:  "manager", FuncName: swf.FuncCommand, LineNo: 1, Process: os.Getpid(), Thread: 1, ExtraData: rawJSON(told),
	}
}

// programTold is one program in a heartbeat's metadata.
type programTold struct {
	Name     string           `json:"name"`
	State    swf.ProgramState `json:"state"`
	PID      int              `json:"pid,omitempty"`
	Since    *time.Time       `json:"since,omitempty"`
	Restarts int              `json:"restarts,omitempty"`
	Reason   string           `json:"reason,omitempty"`
}

// maxProgramsTold bounds a heartbeat.
const maxProgramsTold = 100

// tally counts the restarts of programs, as far as heartbeats see them: a pid
// that is another one than at the last look. Safe for concurrent use.
type tally struct {
	mu sync.Mutex
	of map[string]tallied
}

type tallied struct{ pid, restarts int }

// add takes a look and returns the programs as the monitor is told of them.
func (t *tally) add(programs []swf.Program) []programTold {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = make(map[string]tallied)
	}
	out := make([]programTold, 0, min(len(programs), maxProgramsTold))
	for _, p := range programs[:min(len(programs), maxProgramsTold)] {
		n := t.of[p.Name]
		switch {
		case !p.State.Active():
			n = tallied{}
		case p.PID != 0 && n.pid != 0 && p.PID != n.pid, p.Restarted && n.restarts == 0:
			n.restarts++
		}
		if p.PID != 0 {
			n.pid = p.PID
		}
		t.of[p.Name] = n
		out = append(out, programTold{Name: p.Name, State: p.State, PID: p.PID, Since: p.Since, Restarts: n.restarts, Reason: p.Reason})
	}
	return out
}
