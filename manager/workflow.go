package manager

import (
	"github.com/epic-swf/testbed/control"
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
