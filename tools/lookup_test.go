package tools

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

func TestLookupFollowsTheExecution(t *testing.T) {
	const id = "stf_datataking-ann-0007"
	began := &control.Reply{Outcome: control.Succeeded, ExecutionID: id}
	end := swf.At(time.Now())
	for _, c := range []struct {
		name      string
		execution *swf.Execution
		status    string
		poll      bool
		text      string
	}{
		{"running", &swf.Execution{Status: swf.ExecutionRunning}, "running", true, "execution: running\n"},
		{"completed", &swf.Execution{Status: swf.ExecutionCompleted, EndTime: &end}, "completed", false, "execution: completed\n"},
		{"lost", &swf.Execution{Status: swf.ExecutionLost, EndTime: &end, PerformanceMetrics: json.RawMessage(`{"reason":"its runner was killed"}`)},
			"lost", false, "execution: lost, its runner was killed\n"},
		{"not in the monitor", nil, "", false, "execution_id: " + id},
	} {
		r := &records{}
		if c.execution != nil {
			c.execution.ExecutionID = id
			r.executions = []swf.Execution{*c.execution}
		}
		s := New(Options{Commander: &manager{of: func(string) *control.Reply { return began }}, Monitor: r})
		res := call(t, s, ann, "get_testbed_status", `{"command_id":"run-1"}`, nil)
		conforms(t, s, "get_testbed_status", res)
		v := res.Value.(*StatusOut).Command
		got := ""
		if v.Execution != nil {
			got = v.Execution.Status
		}
		if got != c.status || (v.NextPollMS > 0) != c.poll || !strings.Contains(res.Text, c.text) {
			t.Errorf("%s: %+v\n%s", c.name, v, res.Text)
		}
	}
}
