package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sys/unix"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

const (
	minFreeBytes  = 8 << 20 // kept for stops and outcomes: below it nothing else is begun
	maxReplyTos   = 8       // copies of one command that are told its outcome
	maxAtOnce     = 4       // workflow commands beside the executor
	maxLookAtOnce = 8       // statuses at once
)

// submission is a command that passed the door, with whoever wants to hear.
type submission struct {
	cmd     control.Command
	replyTo replyTo
	sender  trace.SpanContext   // whose trace it is part of, or zero
	local   func(control.Reply) // a caller on this host, or nil
	ack     func()              // takes the message from the broker, once; or nil
}

// settle takes the message from the broker. What was not written down must not
// be delivered again once its refusal was told.
func (s submission) settle() {
	if s.ack != nil {
		s.ack()
	}
}

// submit takes a command with an effect through the journal and answers a look
// at once: a status in a bounded side pool, for it asks supervisord; a ping
// here, so that whoever lives can always say so.
func (m *Manager) submit(s submission) {
	switch {
	case s.cmd.Verb.Effect():
		m.accept(s)
		return
	case s.cmd.Verb == control.Ping:
		m.answer(s, m.look(m.lookCtx, &s.cmd))
		return
	}
	select {
	case m.looks <- struct{}{}:
	default:
		m.answer(s, control.Refusal(s.cmd.ID, swf.E(swf.CodeLimited, "too many looks at once", "ask again in a second")))
		return
	}
	m.side.Go(func() {
		defer func() { <-m.looks }()
		ctx, cancel := context.WithTimeout(m.lookCtx, 5*time.Second)
		defer cancel()
		span := m.traces.accept(&s.cmd, s.sender)
		defer span.End()
		m.answer(s, m.look(trace.ContextWithSpan(ctx, span), &s.cmd))
	})
}

// accept applies the rules of the journal. When it returns, the command is
// refused, known already, or on disk.
func (m *Manager) accept(s submission) {
	arrived := time.Now()
	span := m.traces.accept(&s.cmd, s.sender)
	defer span.End()
	m.accepting.Lock()
	defer m.accepting.Unlock()
	known, err := m.journal.Get(s.cmd.ID)
	if err != nil {
		m.unwritten(s, err)
		return
	}
	if known != nil {
		m.repeat(known, s)
		return
	}
	m.at(AtReceived)
	rec := &record{Command: s.cmd, Intent: s.cmd.Intent(), Phase: phaseAccepted, AcceptedAt: time.Now()}
	if s.replyTo.Queue != "" {
		rec.ReplyTos = []replyTo{s.replyTo}
	}
	if s.cmd.Verb == control.StopTestbed { // an accepted stop has begun, and knows what it is to stop
		rec.Phase, rec.Targets = phaseBegun, m.stopTargets()
		m.at(AtTargeted)
	}
	m.traces.begin(s.cmd.ID, span)
	if r := m.admit(&s.cmd); r != nil {
		m.refuse(rec, s, r)
		return
	}
	begin, withdraw, err := m.reserve(&s.cmd)
	if err != nil {
		r := control.Refusal(s.cmd.ID, err)
		m.refuse(rec, s, &r)
		return
	}
	_, written := m.traces.step(context.Background(), s.cmd.ID, "journal accepted")
	err = m.journal.Put(rec)
	written.End()
	if err != nil {
		m.traces.end(s.cmd.ID)
		withdraw()
		m.unwritten(s, err)
		return
	}
	m.at(AtJournaled)
	m.listen(s)
	m.tell(rec, control.Reply{CommandID: s.cmd.ID, Kind: control.Accepted})
	m.at(AtAccepted)
	m.acceptedAfter(&s.cmd, time.Since(arrived))
	begin()
}

// unwritten deals with a command that cannot be journaled: it is refused, but
// for the stop of a person on this host, who was told that testbed stop-agents
// is the way out. Doing that twice does no harm.
func (m *Manager) unwritten(s submission, why error) {
	if e := new(swf.Error); !errors.As(why, &e) {
		why = swf.E(swf.CodeEnvironment, fmt.Sprintf("the command could not be written down, so it was not begun: %v", why),
			"mend what keeps the manager from writing in "+m.o.Paths.State+"; testbed stop-agents on that host stops all the same").Because(why)
	}
	began := time.Now()
	j := &job{id: s.cmd.ID, verb: s.cmd.Verb, run: func(ctx context.Context) {
		r := m.stopNow(ctx, s.cmd.ID)
		now := time.Now()
		r.CommandID, r.Kind, r.FinishedAt = s.cmd.ID, control.Final, &now
		m.auditedAlone(&s.cmd, began, &r)
		m.exec.Free(s.cmd.ID)
		m.answer(s, r)
	}}
	if s.local == nil || s.cmd.Verb != control.StopTestbed || m.exec.Offer(j) != nil {
		r := control.Refusal(s.cmd.ID, why)
		m.auditedAlone(&s.cmd, began, &r)
		m.log.Error("refused: the command cannot be written down", "command_id", s.cmd.ID, "command", s.cmd.Verb, "issued_by", s.cmd.IssuedBy, "err", why)
		s.settle()
		m.answer(s, r)
		return
	}
	m.log.Error("stopping although nothing can be written down", "command_id", s.cmd.ID, "err", why)
	m.answer(s, control.Reply{CommandID: s.cmd.ID, Kind: control.Accepted})
	m.exec.Release(j)
}

// repeat answers a further copy of a command that is in the journal.
func (m *Manager) repeat(known *record, s submission) {
	if known.Intent != "" && known.Intent != s.cmd.Intent() {
		m.answer(s, control.Refusal(s.cmd.ID, swf.E(swf.CodeConflict,
			fmt.Sprintf("command_id %s was used for another command", s.cmd.ID), "use a fresh command_id for a new command; the first command stands")))
		return
	}
	if known.Phase == phaseDone {
		m.answer(s, *known.Outcome)
		return
	}
	m.listen(s)
	joined, err := m.journal.Modify(s.cmd.ID, func(r *record) error {
		if s.replyTo.Queue != "" && !slices.Contains(r.ReplyTos, s.replyTo) && len(r.ReplyTos) < maxReplyTos {
			r.ReplyTos = append(r.ReplyTos, s.replyTo)
		}
		return nil
	})
	if err == nil && joined.Phase == phaseDone { // concluded meanwhile, perhaps before this one listened
		m.tell(joined, *joined.Outcome)
		return
	}
	m.answer(s, control.Reply{CommandID: s.cmd.ID, Kind: control.Accepted})
}

// admit checks what does not depend on others: space, times, order. It
// returns nil or the outcome.
func (m *Manager) admit(cmd *control.Command) *control.Reply {
	refused := func(code swf.Code, message, hint string) *control.Reply {
		r := control.Refusal(cmd.ID, swf.E(code, message, hint))
		return &r
	}
	now := time.Now()
	switch {
	case cmd.IssuedAt.IsZero() || cmd.ExpiresAt.IsZero() || !cmd.ExpiresAt.After(cmd.IssuedAt) || cmd.ExpiresAt.Sub(cmd.IssuedAt) > control.MaxTTL:
		return refused(swf.CodeInvalidArgument, "issued_at and expires_at are missing or not in order",
			fmt.Sprintf("send both; expires_at is at most %s behind issued_at", control.MaxTTL))
	case cmd.IssuedAt.Sub(now) > control.MaxSkew:
		return refused(swf.CodeClockSkew, fmt.Sprintf("the command was issued at %s, but here it is %s", stamp(cmd.IssuedAt), stamp(now)),
			"set the clocks of both hosts (NTP), then send a new command")
	case !now.Before(cmd.ExpiresAt):
		r := expired(cmd, now)
		return &r
	case cmd.IssuedAt.Before(m.journal.created):
		return refused(swf.CodeStale, fmt.Sprintf("the command was issued at %s, before this manager's journal began (%s)", stamp(cmd.IssuedAt), stamp(m.journal.created)),
			"it may have acted already; look with get_testbed_status, then send a new command")
	case m.journal.Full():
		return refused(swf.CodeJournalFull, "the journal holds as many commands as it may", "wait a minute, then send a new command")
	case cmd.Verb != control.StopTestbed && freeBytes(m.o.Paths.State) < minFreeBytes:
		return refused(swf.CodeDiskFull, "less than 8 MiB are free where the manager keeps its journal", "free space in "+m.o.Paths.State+", then send a new command")
	}
	if cmd.Verb != control.StartTestbed && cmd.Verb != control.RunWorkflow {
		return nil
	}
	barrier, err := m.journal.Barrier()
	if err != nil {
		r := control.Refusal(cmd.ID, err)
		return &r
	}
	// One from farther ahead than a command may come from was issued before the
	// clock was set back, and so were the copies that it is there to hold.
	if !cmd.IssuedAt.After(barrier) && !barrier.After(now.Add(control.MaxSkew)) {
		return refused(swf.CodeSuperseded, fmt.Sprintf("a stop issued at %s came after this command (%s)", stamp(barrier), stamp(cmd.IssuedAt)),
			"if it is still wanted, send a new command")
	}
	return nil
}

// reserve finds the command's place: the executor, or one of the slots beside
// it. begin is called once the command is on disk, withdraw if it is not.
func (m *Manager) reserve(cmd *control.Command) (begin, withdraw func(), err error) {
	if cmd.Verb == control.RunWorkflow || cmd.Verb == control.StopWorkflow {
		select {
		case m.beside <- struct{}{}:
		default:
			return nil, nil, swf.E(swf.CodeBusy, "four workflow commands are under way already", "wait for their outcomes, then send it again under a new command_id")
		}
		c := *cmd
		begin = func() { m.side.Go(func() { defer func() { <-m.beside }(); m.workflow(c) }) }
		return begin, func() { <-m.beside }, nil
	}
	j := m.newJob(cmd)
	if holder := m.exec.Offer(j); holder != nil {
		return nil, nil, swf.E(swf.CodeBusy, fmt.Sprintf("the manager is busy with %s %s", holder.verb, holder.id),
			fmt.Sprintf("wait for it: get_testbed_status(command_id=%q)", holder.id))
	}
	return func() { m.exec.Release(j) }, func() { m.exec.Withdraw(j) }, nil
}

// stopTargets are the starts that a stop accepted now is meant for: the one
// that is at work, and those before it, of which something may still run. It
// is read from the disk where it can be: everything that comes in waits here,
// and a supervisord that hangs would take its time.
func (m *Manager) stopTargets() []string {
	var ids []string
	if j := m.exec.Holder(); j != nil && j.verb == control.StartTestbed {
		ids = append(ids, j.id)
	}
	if s, err := m.o.Testbed.readStarted(); err == nil && s != nil {
		return append(ids, s.starts()...)
	}
	if id := m.o.Testbed.StartID(); id != "" {
		ids = append(ids, id)
	}
	return ids
}

// refuse journals an outcome without effect, then tells it.
func (m *Manager) refuse(rec *record, s submission, r *control.Reply) {
	now := time.Now()
	r.FinishedAt = &now
	rec.Phase, rec.Outcome, rec.DoneAt = phaseDone, r, now
	m.audited(rec)
	m.count.ended(rec)
	defer m.traces.end(s.cmd.ID)
	if err := m.journal.Put(rec); err != nil {
		m.log.Error("refusal not written", "command_id", s.cmd.ID, "err", err)
		s.settle()
		m.answer(s, *r)
		return
	}
	m.at(AtRefused)
	m.logOf(s.cmd.ID).Info("refused", "command", s.cmd.Verb, "code", r.Error.Code, "issued_by", s.cmd.IssuedBy)
	m.answer(s, *r)
}

func expired(cmd *control.Command, now time.Time) control.Reply {
	return control.Reply{CommandID: cmd.ID, Kind: control.Final, Outcome: control.Expired, Error: swf.E(swf.CodeExpired,
		fmt.Sprintf("the command expired at %s; the manager's clock says %s, and it was not executed", stamp(cmd.ExpiresAt), stamp(now)),
		"if it is still wanted, send a new command")}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// freeBytes returns the space an unprivileged user has left, or a large
// number when the file system does not say.
func freeBytes(dir string) uint64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 1 << 62
	}
	return st.Bavail * uint64(st.Bsize)
}
