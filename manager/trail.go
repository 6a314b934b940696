package manager

import (
	"time"

	"github.com/epic-swf/testbed/audit"
	"github.com/epic-swf/testbed/control"
)

// turned records a message that did not get past the door. Nothing in it is
// proven, so nothing of it is taken for true: not who sent it, nor for whom.
func (m *Manager) turned(queue, code, why string) {
	m.o.Audit.Add(audit.Record{Action: "message on " + queue, Target: m.o.Username, Decision: audit.Refused, Code: code, Reason: why})
}

// audited records what a command came to: once, when its outcome stands. The
// call id is that of the MCP server's record about the same call.
func (m *Manager) audited(rec *record) {
	cmd, r := &rec.Command, rec.Outcome
	decision := audit.Allowed
	if r.Outcome == control.Refused || r.Outcome == control.Expired {
		decision = audit.Refused
	}
	a := audit.Record{CallID: cmd.CallID, Who: cmd.IssuedBy, Action: string(cmd.Verb), Target: cmd.Username, Decision: decision,
		Outcome: string(r.Outcome), CommandID: cmd.ID, From: &audit.Origin{Transport: source(cmd)},
		Millis: float64(rec.DoneAt.Sub(rec.AcceptedAt).Microseconds()) / 1000}
	if cmd.ConfigName != "" {
		a.Arguments = map[string]any{"config_name": cmd.ConfigName}
	}
	if r.Error != nil {
		a.Code, a.Reason = string(r.Error.Code), r.Error.Message
	}
	m.o.Audit.Add(a)
}

// auditedAlone records what became of a command of which the journal knows
// nothing, because it cannot be written.
func (m *Manager) auditedAlone(cmd *control.Command, began time.Time, r *control.Reply) {
	m.audited(&record{Command: *cmd, AcceptedAt: began, DoneAt: time.Now(), Outcome: r})
}

// source is how the sender calls itself, which is for the record only.
func source(cmd *control.Command) string {
	if len(cmd.Source) > 32 {
		return cmd.Source[:32]
	}
	return cmd.Source
}
