package manager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

var (
	errExpired       = errors.New("expired before it began")
	errOutcomeStands = errors.New("the command has an outcome, for ever")
)

// newJob makes the executor's job of a journaled command.
func (m *Manager) newJob(cmd *control.Command) *job {
	c := *cmd
	j := &job{id: c.ID, verb: c.Verb}
	j.run = func(ctx context.Context) {
		ctx, span := m.traces.step(ctx, c.ID, "execute "+string(c.Verb))
		defer span.End()
		m.at(AtTurn)
		switch c.Verb {
		case control.StartTestbed:
			m.start(ctx, c)
		case control.StopTestbed:
			m.stop(ctx, c)
		case control.Restart:
			m.restart(ctx, c)
		default:
			m.conclude(c.ID, control.Refusal(c.ID, swf.E(swf.CodeUnknownCommand, fmt.Sprintf("unknown command %q", c.Verb), "")))
		}
	}
	return j
}

// begin marks the command begun in the transaction that checks its expiry
// (design, rule 4).
func (m *Manager) begin(c *control.Command, targets ...string) error {
	_, err := m.journal.Modify(c.ID, func(r *record) error {
		if r.Phase == phaseDone {
			return errOutcomeStands
		}
		if !time.Now().Before(c.ExpiresAt) {
			return errExpired
		}
		r.Phase, r.Targets = phaseBegun, targets
		return nil
	})
	if err == nil {
		m.at(AtBegun)
	}
	return err
}

// notBegun concludes a command that begin turned away.
func (m *Manager) notBegun(c *control.Command, err error) {
	if errors.Is(err, errExpired) {
		m.conclude(c.ID, expired(c, time.Now()))
		return
	}
	m.conclude(c.ID, control.Refusal(c.ID, err))
}

func (m *Manager) acting(id string) error {
	_, err := m.journal.Modify(id, func(r *record) error {
		r.Phase = phaseActing
		return nil
	})
	if err == nil {
		m.at(AtActing)
	}
	return err
}

// conclude writes the outcome, for as long as it takes, and then tells it: no
// outcome is told that a crash could unmake.
func (m *Manager) conclude(id string, r control.Reply) {
	r.CommandID, r.Kind = id, control.Final
	now := time.Now()
	r.FinishedAt = &now
	m.at(AtConclude)
	_, written := m.traces.step(context.Background(), id, "journal outcome")
	defer written.End()
	defer m.traces.end(id)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		rec, err := m.journal.Modify(id, func(rec *record) error {
			if rec.Phase == phaseDone {
				return errOutcomeStands
			}
			rec.Phase, rec.DoneAt = phaseDone, now
			rec.Outcome = &r
			return nil
		})
		if err == nil {
			m.at(AtDone)
			m.logOf(id).Info("outcome", "command", rec.Command.Verb, "outcome", r.Outcome, "code", codeOf(r.Error), "issued_by", rec.Command.IssuedBy)
			m.audited(rec)
			m.count.ended(rec)
			m.exec.Free(id)
			m.tell(rec, r)
			return
		}
		if errors.Is(err, errOutcomeStands) {
			m.log.Error("a second outcome was not written", "command_id", id, "outcome", r.Outcome)
			return
		}
		m.log.Error("outcome not written, trying again", "command_id", id, "err", err)
		m.exec.Moves() // a full disk is full for the next manager too
		select {
		case <-time.After(pause):
		case <-m.abandon: // the manager must go; recovery finds the command
			return
		}
	}
}

func codeOf(e *swf.Error) swf.Code {
	if e == nil {
		return ""
	}
	return e.Code
}

// progress tells how far a command is, in the user's words.
func (m *Manager) progress(id string) Progress {
	return func(text string, programs []swf.Program) {
		rec, err := m.journal.Get(id)
		if err != nil || rec == nil {
			return
		}
		m.tell(rec, control.Reply{CommandID: id, Kind: control.Progress, Message: text, Programs: programs})
	}
}

func (m *Manager) start(ctx context.Context, c control.Command) {
	if err := m.begin(&c); err != nil {
		m.notBegun(&c, err)
		return
	}
	ctx, cancel := withPauseGuard(ctx)
	defer cancel()
	started, err := m.o.Testbed.Start(ctx, StartRequest{
		ID:         c.ID,
		ConfigName: c.ConfigName,
		Acting:     func() error { return m.acting(c.ID) },
		Progress:   m.progress(c.ID),
	})
	r := control.Reply{Outcome: control.Succeeded, Programs: started.Programs, Namespace: started.Namespace, Config: started.Config,
		Message: fmt.Sprintf("%d of %d programs are RUNNING in namespace %s", len(started.Programs), len(started.Programs), started.Namespace)}
	if err != nil {
		r.Outcome, r.Error, r.Message = control.Failed, swf.AsError(err), ""
		if !started.Acted {
			r.Outcome = control.Refused
		}
		if r.Error.Code == swf.CodeInternal {
			m.log.Error("start", "command_id", c.ID, "err", errors.Unwrap(r.Error))
		}
	}
	m.conclude(c.ID, r)
	m.beatSoon()
}

func (m *Manager) stop(ctx context.Context, c control.Command) {
	m.conclude(c.ID, m.stopNow(ctx, c.ID))
	m.beatSoon()
}

// stopNow stops the testbed, whoever started it, and makes the outcome.
func (m *Manager) stopNow(ctx context.Context, id string) control.Reply {
	stopped, err := m.o.Testbed.Stop(ctx, m.progress(id))
	if err != nil {
		e := swf.AsError(err)
		if e.Code == swf.CodeInternal {
			m.log.Error("stop", "command_id", id, "err", errors.Unwrap(e))
		}
		return control.Reply{Outcome: control.Failed, Error: e, Programs: stopped.Programs}
	}
	m.endLostRuns()
	return control.Reply{Outcome: control.Succeeded, Programs: stopped.Programs, Namespace: stopped.Namespace, Config: stopped.Config, Message: StoppedMessage(stopped)}
}

// restart stops everything and leaves; whoever runs the manager starts it
// anew, and its recovery concludes the command (design, rule 8).
func (m *Manager) restart(ctx context.Context, c control.Command) {
	if err := m.begin(&c, m.stopTargets()...); err != nil {
		m.notBegun(&c, err)
		return
	}
	if r := m.stopNow(ctx, c.ID); r.Outcome != control.Succeeded {
		m.conclude(c.ID, r)
		return
	}
	if err := m.acting(c.ID); err != nil {
		m.conclude(c.ID, control.Reply{Outcome: control.Failed, Error: swf.AsError(err)})
		return
	}
	m.at(AtLeaving)
	m.leave(ErrRestart)
}

// maxPause is how long a start may stand still, in SIGSTOP or a suspended
// machine, before it is undone instead of continued (design, rule 6).
const maxPause = 30 * time.Second

// withPauseGuard ends the context with errPaused when this process stood
// still for too long.
func withPauseGuard(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		last := time.Now().Round(0) // wall clock: the monotonic one may sleep with the machine
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				now := time.Now().Round(0)
				if now.Sub(last) > maxPause {
					cancel(errPaused)
				}
				last = now
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}
