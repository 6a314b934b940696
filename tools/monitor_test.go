package tools

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// realMonitor is a monitor of ours with that many messages, of which every
// tenth is in ann's namespace, and a twentieth as many logs.
func realMonitor(tb testing.TB, messages int) *Set {
	tb.Helper()
	ctx := tb.Context()
	st, err := store.Open(ctx, store.Options{Path: filepath.Join(tb.TempDir(), "monitor.db")})
	if err != nil {
		tb.Fatal(err)
	}
	srv := httptest.NewServer(api.New(api.Options{Store: st}))
	c := monitor.New(monitor.Options{URL: srv.URL})
	tb.Cleanup(func() {
		c.Close()
		srv.Close()
		_ = st.Close()
	})
	check := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	d, err := c.CreateDefinition(ctx, swf.Definition{WorkflowName: "stf_datataking", Version: "1", WorkflowType: "simulation", Definition: "x", CreatedBy: "ann"})
	check(err)
	user := func(i int) (name, namespace string) {
		if i%10 == 0 {
			return "ann", "torre2"
		}
		return "bob", "elsewhere"
	}
	now := time.Now().UTC()
	for i := range 40 {
		name, space := user(i)
		check(c.Heartbeat(ctx, swf.Heartbeat{InstanceName: fmt.Sprintf("data-agent-%s-%d", name, i), AgentType: "DATA", Status: swf.StatusOK, OperationalState: swf.OpReady, Namespace: &space}))
		_, err := c.CreateExecution(ctx, swf.Execution{ExecutionID: fmt.Sprintf("stf_datataking-%s-%04d", name, i), Namespace: &space, Status: "running", ExecutedBy: name,
			StartTime: swf.At(now.Add(-time.Duration(i) * time.Second)), WorkflowDefinition: d.ID, ParameterValues: json.RawMessage(`{"a":1}`)})
		check(err)
	}
	for i := range messages / 20 {
		name, _ := user(i)
		level, text := 20, "INFO"
		if i%50 == 0 {
			level, text = 40, "ERROR"
		}
		_, err := st.Insert(ctx, store.Logs, store.Record{"app_name": "base_agent", "instance_name": fmt.Sprintf("data-agent-%s-%d", name, i%40), "timestamp": now.Add(-time.Duration(i) * time.Millisecond),
			"level": int64(level), "levelname": text, "message": fmt.Sprint("record ", i), "module": "m", "funcname": "f", "lineno": int64(1), "process": int64(1), "thread": int64(1),
			"extra_data": json.RawMessage(fmt.Sprintf(`{"execution_id":"stf_datataking-%s-%04d"}`, name, i%40))})
		check(err)
	}
	var batch []store.Heard
	for i := range messages {
		name, space := user(i)
		kind := swf.MsgSTFGen
		if i < 40 {
			kind = swf.MsgStartRun
		}
		batch = append(batch, store.Heard{Message: store.Record{"message_id": fmt.Sprintf("%08d", i), "message_type": kind, "sender_agent": fmt.Sprintf("daq_simulator-agent-%s-%d", name, i%40),
			"namespace": space, "execution_id": fmt.Sprintf("stf_datataking-%s-%04d", name, i%40), "run_id": "100010", "sent_at": now.Add(time.Duration(i-messages) * time.Millisecond),
			"message_content": json.RawMessage(`{"msg_type":"stf_gen","filename":"swf.20261123.120000.stf_000001.dat","size_bytes":1073741824}`), "message_metadata": json.RawMessage(`{}`)}})
		if len(batch) == store.MaxHeard || i == messages-1 {
			_, err := st.Record(ctx, batch)
			check(err)
			batch = batch[:0]
		}
	}
	return New(Options{Commander: &manager{}, Monitor: c, ViewWait: time.Minute, Limits: Limits{PerSecond: -1}})
}

// lookups are calls of every view, and how many things each finds with 1000
// messages.
var lookups = []struct {
	who        swf.Principal
	tool, args string
	n, total   int
}{
	{ann, "list_agents", `{}`, 4, 4}, {ops, "list_agents", `{}`, 20, 40},
	{ann, "list_workflow_executions", `{}`, 4, 4}, {ops, "list_workflow_executions", `{"status":"running"}`, 20, 40},
	{ann, "list_messages", `{}`, 20, 100}, {ops, "list_messages", `{}`, 20, 1000}, {ann, "list_messages", `{"limit":200}`, 100, 100},
	{ann, "list_messages", `{"execution_id":"stf_datataking-ann-0010"}`, 20, 25}, {ann, "list_messages", `{"execution_id":"stf_datataking-bob-0011"}`, 0, 0},
	{ann, "list_logs", `{}`, 5, 5}, {ops, "list_logs", `{"level":"ERROR"}`, 1, 1}, {ann, "list_logs", `{"search":"nowhere"}`, 0, 0},
	{ann, "list_logs", `{"execution_id":"stf_datataking-ann-0010"}`, 1, 1},
}

func TestListsOverARealMonitor(t *testing.T) {
	s := realMonitor(t, 1000)
	for _, c := range lookups {
		res := call(t, s, c.who, c.tool, c.args, nil)
		conforms(t, s, c.tool, res)
		raw, _ := json.Marshal(res.Value)
		var v struct {
			Items []json.RawMessage `json:"items"`
			Total *int              `json:"total_count"`
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		if res.Failed || len(v.Items) != c.n || deref0(v.Total) != c.total {
			t.Errorf("%s: %s %s: %d of %d: %s", c.who.Name, c.tool, c.args, len(v.Items), deref0(v.Total), res.Text)
		}
	}
	o := call(t, s, ann, "get_workflow_execution", `{"execution_id":"stf_datataking-ann-0010"}`, nil).Value.(*ExecutionOut)
	if o.Phase != "running" || deref0(o.STFCount) != 24 || len(o.Events) != 1 || o.RunID != "100010" {
		t.Errorf("%+v", o)
	}
	if r := call(t, s, ann, "get_workflow_execution", `{"execution_id":"stf_datataking-bob-0011"}`, nil); !strings.Contains(r.Text, "unknown_execution") {
		t.Errorf("bob's: %s", r.Text)
	}
}

// BenchmarkViews is every view over a real monitor with 100,000 messages.
func BenchmarkViews(b *testing.B) {
	s := realMonitor(b, 100_000)
	views := append(lookups[:len(lookups):len(lookups)], lookups[0])
	views[len(views)-1].tool, views[len(views)-1].args = "get_workflow_execution", `{"execution_id":"stf_datataking-ann-0010"}`
	for _, c := range views {
		b.Run(c.who.Name+" "+c.tool+c.args, func(b *testing.B) {
			var args any
			if err := json.Unmarshal([]byte(c.args), &args); err != nil {
				b.Fatal(err)
			}
			for _, tl := range s.Tools() {
				if tl.Name != c.tool {
					continue
				}
				for b.Loop() {
					if r := tl.Call(b.Context(), c.who, args, nil); r.Failed {
						b.Fatal(r.Text)
					}
				}
			}
		})
	}
}
