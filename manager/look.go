package manager

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// look answers ping and status. Neither is journaled.
func (m *Manager) look(ctx context.Context, c *control.Command) control.Reply {
	r := control.Reply{CommandID: c.ID, Kind: control.Final, Outcome: control.Succeeded}
	lookup := c.Of != nil && c.Of.CommandID != ""
	if lookup {
		of := m.lookup(c)
		r.Of = &of
	}
	if lookup || c.Verb == control.Ping {
		var o Observation
		o.note, _ = m.o.Testbed.lastStart()
		r.Pong = m.pong(o)
		return r
	}
	seen, err := m.o.Testbed.Observe(ctx)
	if err != nil {
		r.Outcome, r.Error = control.Failed, swf.AsError(err)
	}
	r.Pong = m.pong(seen)
	r.Pong.State = m.state(seen)
	r.Programs, r.Namespace, r.Config = seen.Programs, seen.Namespace, seen.Config
	switch {
	case c.Of != nil && c.Of.Log != "":
		r.Text, err = m.o.Testbed.Log(ctx, c.Of.Log, 16<<10)
		if err != nil {
			r.Outcome, r.Error = control.Refused, swf.AsError(err)
		}
	case c.Of != nil && c.Of.Config:
		r.Details, err = m.o.Testbed.ResolvedConfig()
		if err != nil {
			r.Outcome, r.Error = control.Refused, swf.AsError(err)
		}
	}
	return r
}

// pong tells who answers and what it is busy with.
func (m *Manager) pong(seen Observation) *control.Pong {
	host, _ := os.Hostname()
	namespace, config := seen.note.where()
	p := &control.Pong{
		Protocol: control.Protocol, Instance: m.instance, Username: m.o.Username, Host: host, PID: os.Getpid(),
		Version: m.o.Version, Now: time.Now(), State: swf.TestbedUnknown, Namespace: namespace, Config: config,
		Dir: m.o.Testbed.Dir(), Supervisor: seen.Supervisor,
	}
	p.KeyIDs = m.o.Keys().IDs()
	if j := m.exec.Holder(); j != nil {
		since := j.since
		p.BusyWith, p.BusyID, p.BusySince = j.verb, j.id, &since
	}
	if err := m.journal.Sealed(); err != nil {
		p.Sealed = err.Error()
	}
	return p
}

// state sums up what was seen, or says what is being done to it.
func (m *Manager) state(seen Observation) swf.TestbedState {
	if j := m.exec.Holder(); j != nil {
		switch j.verb {
		case control.StartTestbed:
			return swf.TestbedStarting
		case control.StopTestbed, control.Restart:
			return swf.TestbedStopping
		}
	}
	return seen.State
}

// lookup gives the outcome of a command, to its issuer and to its user
// (design, rule 10).
func (m *Manager) lookup(c *control.Command) control.Reply {
	id := c.Of.CommandID
	pending := control.Reply{CommandID: id, Kind: control.Final, Outcome: control.Pending}
	if err := swf.CheckName(swf.KindCommandID, id); err != nil {
		return control.Refusal(id, err)
	}
	m.accepting.Lock() // a tombstone must not race with the command itself
	defer m.accepting.Unlock()
	rec, err := m.journal.Get(id)
	switch {
	case err != nil:
		return control.Refusal(id, err)
	case rec == nil:
		return m.lookupUnknown(id, pending)
	case rec.Command.IssuedBy != c.IssuedBy && c.IssuedBy != m.o.Username && rec.Intent != "":
		return m.lookupUnknown(id, pending)
	case rec.Phase != phaseDone:
		pending.Message = fmt.Sprintf("%s is %s", rec.Command.Verb, rec.Phase)
		return pending
	}
	return *rec.Outcome
}

// lookupUnknown answers for an id that is not in the journal. Our own ids tell
// when they were made: once such a command can no longer begin, that is
// written down before it is said, so that a late copy finds it.
func (m *Manager) lookupUnknown(id string, pending control.Reply) control.Reply {
	unknown := control.Reply{CommandID: id, Kind: control.Final, Outcome: control.Pending, Error: swf.E(swf.CodeUnknownID,
		fmt.Sprintf("no command %s has reached this manager", id), "if it was sent less than a minute ago, ask again; otherwise send a new command")}
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return unknown
	}
	issued := time.Unix(u.Time().UnixTime())
	if issued.Before(m.journal.created) || time.Since(issued) > keepOutcomes {
		return unknown
	}
	if time.Since(issued) < control.TTL {
		return pending
	}
	if rec, err := m.journal.Get(id); err != nil || rec != nil || m.journal.Full() {
		return unknown // somebody else's, or no room to write it down
	}
	now := time.Now()
	c := control.Command{ID: id, IssuedAt: issued, ExpiresAt: issued.Add(control.TTL)}
	r := expired(&c, now)
	r.FinishedAt = &now
	if err := m.journal.Put(&record{Command: c, Phase: phaseDone, Outcome: &r, AcceptedAt: now, DoneAt: now}); err != nil {
		return control.Refusal(id, err)
	}
	return r
}

// rawJSON is for status details; a value that cannot be encoded is a bug.
func rawJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
