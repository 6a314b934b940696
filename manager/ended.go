package manager

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// reasonKilled is why an execution is lost of which nobody knows more.
const reasonKilled = "its runner was killed before it could end the run"

// endLostRuns notes that no runner of before this moment lives: executions it
// left open are told to the monitor, again with each heartbeat until that has
// heard.
func (m *Manager) endLostRuns() {
	m.runnerGone(time.Now())
	m.beatSoon()
}

// runnerGone is endLostRuns for who has seen it at that time.
func (m *Manager) runnerGone(at time.Time) {
	for {
		before := m.lostBefore.Load()
		if at.UnixNano() <= before || m.lostBefore.CompareAndSwap(before, at.UnixNano()) {
			return
		}
	}
}

// noticeRunner looks whether a snapshot that was asked for at that time shows a
// testbed without a runner: one that has given up, or whose supervisord died and
// left nobody behind. One that supervisord will start again ends the run itself.
func (m *Manager) noticeRunner(ctx context.Context, at time.Time, seen Observation, err error) {
	if err != nil {
		return
	}
	for _, p := range seen.Programs {
		if p.Name == runnerProgram && p.State.Active() {
			return
		}
	}
	open, err := m.o.Testbed.Runs().Open()
	if err != nil || len(open) == 0 {
		return // the usual case, before the look at every process of this host
	}
	if seen.Supervisor == "stopped" && m.o.Testbed.orphaned(ctx) {
		return
	}
	m.runnerGone(at)
}

// orphaned reports whether processes of a supervisord that is gone live on, or
// may.
func (t *Testbed) orphaned(ctx context.Context) bool {
	d, err := t.daemon()
	if err != nil {
		return true
	}
	orphans, err := d.Orphans(ctx)
	return err != nil || len(orphans) > 0
}

// reportLost tells the ends of executions whose runner has not: as they were,
// where the runner wrote that down, else as lost.
func (m *Manager) reportLost(ctx context.Context) {
	before := m.lostBefore.Load()
	if m.o.Monitor == nil || before == 0 {
		return
	}
	runs := m.o.Testbed.Runs()
	open, err := runs.Open()
	if err != nil {
		m.log.Error("open runs", "err", err)
		return
	}
	for _, c := range open {
		if c.At.UnixNano() > before {
			continue // a later runner's
		}
		if err := m.tellEnd(ctx, runs, c); err != nil {
			m.log.Warn("execution not ended in the monitor yet", "execution_id", c.ExecutionID, "err", err)
			return
		}
	}
	m.lostBefore.CompareAndSwap(before, 0)
}

// tellEnd ends one execution. One that the monitor does not know is left to the
// next runner, in whose outbox it still waits to be made; what the monitor
// refuses it will always refuse.
func (m *Manager) tellEnd(ctx context.Context, runs control.Runs, c control.Claim) error {
	ending := control.Lost(reasonKilled, time.Now())
	if c.Ending != nil {
		ending = *c.Ending
	}
	ctx, cancel := context.WithTimeout(ctx, monitorWait)
	defer cancel()
	err := m.o.Monitor.PatchExecution(ctx, c.ExecutionID, ending.Fields())
	var status *monitor.StatusError
	switch {
	case err == nil:
		m.log.Info("told the end of an execution whose runner has gone", "execution_id", c.ExecutionID, "status", ending.Status)
	case errors.As(err, &status) && status.Status == http.StatusNotFound:
		return nil
	case errors.As(err, &status) && swf.IsCode(err, swf.CodeInvalidArgument) && status.Status == http.StatusBadRequest:
		m.log.Error("the monitor refuses the end of an execution", "execution_id", c.ExecutionID, "err", err)
	default:
		return err
	}
	return runs.End(c.CommandID)
}
