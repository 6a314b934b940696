package manager

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// recover looks at what an earlier manager left without an outcome and hands
// it to the executor, so that a stop overtakes that too (design, rule 8 and
// 4c.1). It is called before anything can come in: a command of this manager
// must not be taken for an earlier one's, nor a later stop run before an
// earlier start. None of it waits for the broker.
func (m *Manager) recover(ctx context.Context) {
	if m.journal.Sealed() != nil {
		return
	}
	open, err := m.journal.Unfinished()
	if err != nil {
		m.journal.seal(err)
		m.log.Error("the journal is sealed: it cannot be read", "err", err)
		return
	}
	// A runner that is not there left its executions to us; one that is ends
	// those of its predecessor itself.
	if _, err := m.runner.alive(ctx); swf.IsCode(err, swf.CodeNotRunning) {
		m.endLostRuns()
	}
	m.retell()
	for _, rec := range open {
		m.log.Info("found a command without an outcome", "command", rec.Command.Verb, "command_id", rec.Command.ID, "phase", rec.Phase)
		m.resume(rec)
	}
}

// retold is how far back outcomes are told again: whoever waits for one waits no
// longer.
const retold = control.TTL

// retell tells the latest outcomes once more. A crash between writing one and
// telling it would leave those who wait for it, and heard that the command was
// accepted, without an answer; who has heard it already drops the copy.
func (m *Manager) retell() {
	latest, err := m.journal.DoneSince(time.Now().Add(-retold))
	if err != nil {
		m.log.Error("the latest outcomes are not told again", "err", err)
	}
	for _, rec := range latest[max(0, len(latest)-replyQueue/maxReplyTos):] {
		m.tell(rec, *rec.Outcome)
	}
}

func (m *Manager) resume(rec *record) {
	c := rec.Command
	switch {
	case c.Verb == control.RunWorkflow && rec.Phase != phaseAccepted:
		m.side.Go(func() { m.conclude(c.ID, m.runner.GiveUp(&c, "the manager was interrupted")) })
	case c.Verb == control.StopWorkflow && rec.Phase != phaseAccepted:
		m.side.Go(func() { m.conclude(c.ID, interrupted("look with get_testbed_status whether the workflow still runs")) })
	case c.Verb == control.RunWorkflow || c.Verb == control.StopWorkflow:
		m.side.Go(func() { m.workflow(c) })
	case rec.Phase == phaseAccepted:
		m.exec.Enqueue(m.newJob(&c))
	default:
		m.exec.Enqueue(&job{id: c.ID, verb: c.Verb, run: func(ctx context.Context) { m.finish(ctx, rec) }})
	}
}

// finish concludes a command of the executor that had begun.
func (m *Manager) finish(ctx context.Context, rec *record) {
	c := rec.Command
	m.at(AtRecovered)
	switch {
	case c.Verb == control.StartTestbed && rec.Phase == phaseBegun:
		m.conclude(c.ID, interrupted("nothing had been started yet; start it again"))
	case c.Verb == control.StartTestbed:
		m.conclude(c.ID, m.undoInterrupted(ctx, &c))
	case rec.Phase == phaseActing: // a restart that got as far as leaving: this is the new manager
		m.conclude(c.ID, control.Reply{Outcome: control.Succeeded, Message: "the manager has restarted"})
	case m.o.Testbed.Bears(rec.Targets...):
		m.conclude(c.ID, m.stopNow(ctx, c.ID))
	default: // what it was to stop is gone; what runs now is none of its business
		m.conclude(c.ID, control.Reply{Outcome: control.Succeeded, Message: "what it was to stop no longer runs"})
	}
	m.beatSoon()
}

// undoInterrupted undoes a start that had begun to act, but only where what
// runs, or was orphaned, bears that start's id. Neither leaving nor a stop that
// waits cuts it short: it is the stop itself.
func (m *Manager) undoInterrupted(ctx context.Context, c *control.Command) control.Reply {
	if !m.o.Testbed.Bears(c.ID) {
		return interrupted("nothing of that start is running; start it again")
	}
	if stopped := m.stopNow(context.WithoutCancel(ctx), c.ID); stopped.Outcome != control.Succeeded {
		return stopped
	}
	return interrupted("what it had started was stopped; start it again")
}

func interrupted(hint string) control.Reply {
	return control.Reply{Outcome: control.Failed, Error: swf.E(swf.CodeInterrupted, "the manager was interrupted while it worked on this command", hint)}
}

// Bears reports whether a live supervisord, or a process that a dead one left
// behind, carries the id of one of these starts.
func (t *Testbed) Bears(startIDs ...string) bool {
	if len(startIDs) == 0 {
		return false
	}
	if live := t.StartID(); live != "" {
		return slices.Contains(startIDs, live)
	}
	d, err := t.daemon()
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	orphans, err := d.Orphans(ctx)
	if err != nil {
		t.o.Log.Error("orphans", "err", err)
		return false
	}
	for _, o := range orphans {
		if slices.Contains(startIDs, cmp.Or(o.Getenv("SWF_START_ID"), adopted)) {
			return true
		}
	}
	return false
}
