package tools

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// TestTotals: a count is right or it is null, whether or not the monitor
// knows filters and limits.
func TestTotals(t *testing.T) {
	const run = "stf_datataking-ann-0001"
	for _, django := range []bool{false, true} {
		r := world()
		r.django = django
		for i := range 700 {
			age := time.Duration(i) * time.Minute
			level, name := 20, "INFO"
			if i%7 == 0 {
				level, name = 40, "ERROR"
			}
			r.logs = append(r.logs, logged(level, name, "data-agent-ann-4", run, fmt.Sprint("record ", i), age))
			r.messages = append(r.messages, said("stf_gen", "daq_simulator-agent-ann-3", "torre2", run, fmt.Sprintf(`{"sequence":%d}`, i), age))
		}
		r.messages = append(r.messages, said("start_run", "daq_simulator-agent-ann-3", "torre2", run, `{}`, 701*time.Minute))
		r.executions = append(r.executions, ran(run, "ann", "torre2", "running", 702*time.Minute, ""))
		r.logs, r.messages = r.logs[6:], r.messages[6:]
		s := historian(&manager{}, r)
		for _, c := range []struct {
			who        swf.Principal
			tool, args string
			n, total   int
		}{
			{ops, "list_logs", `{"hours":1}`, 20, 61},
			{ops, "list_logs", `{"hours":100}`, 20, 700},
			{ann, "list_logs", `{"execution_id":"` + run + `","level":"ERROR"}`, 20, 100},
			{ann, "list_logs", `{"execution_id":"` + run + `","level":"ERROR","limit":200}`, 100, 100},
			{ann, "list_logs", `{"search":"record 69","hours":20}`, 11, 11},
			{ann, "list_messages", `{"hours":2}`, 20, 121},
			{ann, "list_messages", `{"execution_id":"` + run + `"}`, 20, 701},
			{ops, "list_messages", `{"execution_id":"` + run + `","message_type":"start_run"}`, 1, 1},
			{ann, "list_workflow_executions", `{"hours":1}`, 2, 2},
		} {
			raw, _ := json.Marshal(call(t, s, c.who, c.tool, c.args, nil).Value)
			var v struct {
				Items   []json.RawMessage `json:"items"`
				Total   *int              `json:"total_count"`
				HasMore bool              `json:"has_more"`
			}
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatal(err)
			}
			if len(v.Items) != c.n || v.HasMore != (c.total > c.n) || (v.Total != nil && *v.Total != c.total) || (v.Total == nil && !django) {
				t.Errorf("django %t: %s %s: %d items of %d, more %t", django, c.tool, c.args, len(v.Items), deref0(v.Total), v.HasMore)
			}
		}
		o := call(t, s, ann, "get_workflow_execution", `{"execution_id":"`+run+`"}`, nil).Value.(*ExecutionOut)
		if o.Phase != "running" || len(o.Events) != 1 || o.STFCount == nil || *o.STFCount != 700 {
			t.Errorf("django %t: %+v, %d files", django, o, deref0(o.STFCount))
		}
		latest := call(t, s, ann, "list_messages", `{"execution_id":"`+run+`","limit":1}`, nil).Value.(*ListOut[MessageRow])
		if len(latest.Items) != 1 || latest.Items[0].Content != `{"sequence":0}` {
			t.Errorf("django %t: the latest message is %+v", django, latest.Items)
		}
	}
}

// TestALongRun has more messages than are read of one execution.
func TestALongRun(t *testing.T) {
	const run = "stf_datataking-ann-0001"
	for _, django := range []bool{false, true} {
		r := &records{django: django, executions: []swf.Execution{ran(run, "ann", "torre2", "running", time.Hour, "")}}
		add := func(kind string, i int) {
			r.messages = append(r.messages, said(kind, "daq_simulator-agent-ann-3", "torre2", run, `{}`, time.Duration(i)*time.Second))
		}
		for i := range 3000 {
			add("stf_gen", i)
		}
		add("start_run", 3001)
		add("run_imminent", 3002)
		o := call(t, historian(&manager{}, r), ann, "get_workflow_execution", `{"execution_id":"`+run+`"}`, nil).Value.(*ExecutionOut)
		if o.Phase != "running" || len(o.Events) != 2 || o.Events[0].Event != "run_imminent" {
			t.Errorf("django %t: %+v", django, o)
		}
		if n := deref0(o.STFCount); n != 3000 && (n != -1 || !django) {
			t.Errorf("django %t: %d files", django, n)
		}
	}
}

func deref0(n *int) int {
	if n == nil {
		return -1
	}
	return *n
}
