package interop

import (
	"testing"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// The Python agents and the runner meet our monitor: python_agent.py judges
// every answer as they do, and what they told is then there for our own client.
func TestPythonAgentsOnOurMonitor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := pythonScript(t, "python_agent.py", map[string]string{"monitor": s.monitor, "token": s.token, "username": s.username})
	var did struct{ Agent, Execution, Run string }
	p.next(&did)

	c := s.client()
	a, err := c.Agent(t.Context(), did.Agent)
	if err != nil || a == nil || a.OperationalState != swf.OpExited || a.Namespace == nil || *a.Namespace != "torre2" {
		t.Errorf("agent: %+v, %v", a, err)
	}
	e, err := c.Execution(t.Context(), did.Execution)
	if err != nil || e == nil || e.Status != swf.ExecutionCompleted || e.EndTime == nil || e.ExecutedBy != s.username {
		t.Errorf("execution: %+v, %v", e, err)
	}
	if e != nil && e.EndTime != nil && e.EndTime.Before(e.StartTime.Time) {
		t.Errorf("naive stamps: ended %s, started %s", e.EndTime, e.StartTime)
	}
	list, err := c.Executions(t.Context(), monitor.Filter{Status: swf.ExecutionRunning, ExecutedBy: s.username})
	if err != nil || len(list) != 0 {
		t.Errorf("still running: %+v, %v", list, err)
	}
	if did.Run != "100010" {
		t.Errorf("run %s", did.Run)
	}
}
