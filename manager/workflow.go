package manager

import (
	"context"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// workflow passes a workflow command to this user's own runner and concludes
// it with the runner's answer.
func (m *Manager) workflow(c control.Command) {
	if err := m.begin(&c, ""); err != nil {
		m.notBegun(&c, err)
		return
	}
	var r control.Reply
	if c.Verb == control.RunWorkflow {
		r = m.runner.Run(m.lookCtx, &c, m.progress(c.ID))
	} else {
		r = m.runner.Stop(m.lookCtx, &c, m.progress(c.ID))
	}
	m.conclude(c.ID, r)
}

// endLostRuns notes that no runner of before this moment lives: executions it
// left open are told to the monitor, again with each heartbeat until that has
// heard.
func (m *Manager) endLostRuns() {
	m.lostBefore.Store(time.Now().UnixNano())
	m.beatSoon()
}

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
		err := m.o.Monitor.PatchExecution(ctx, c.ExecutionID, map[string]any{
			"status": swf.ExecutionLost, "end_time": swf.At(time.Now()),
			"performance_metrics": map[string]string{"reason": "its runner was killed before it could end the run"},
		})
		if err == nil {
			err = runs.End(c.CommandID)
		}
		if err != nil {
			m.log.Warn("execution not ended in the monitor yet", "execution_id", c.ExecutionID, "err", err)
			return
		}
	}
	m.lostBefore.CompareAndSwap(before, 0)
}
