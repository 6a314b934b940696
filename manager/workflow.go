package manager

import (
	"github.com/epic-swf/testbed/control"
)

// workflow passes a workflow command to this user's own runner and concludes
// it with the runner's answer.
func (m *Manager) workflow(c control.Command) {
	if err := m.begin(&c); err != nil {
		m.notBegun(&c, err)
		return
	}
	var r control.Reply
	ctx, span := m.traces.step(m.lookCtx, c.ID, "execute "+string(c.Verb))
	defer span.End()
	if c.Verb == control.RunWorkflow {
		r = m.runner.Run(ctx, &c, m.progress(c.ID))
	} else {
		r = m.runner.Stop(ctx, &c, m.progress(c.ID))
	}
	m.conclude(c.ID, r)
}
