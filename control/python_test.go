package control

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/swf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pythonBench is a broker, a Client whose users have Python managers, and what
// arrived on the queues of ann's.
type pythonBench struct {
	client *Client
	conn   *amq.Conn
	got    chan map[string]any
	keys   map[string]Key
	// answer makes the answers to a ping or a status; several to be late ones.
	answer atomic.Pointer[func(m map[string]any) []string]
}

func newPythonBench(t *testing.T) *pythonBench {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { _ = broker.New(broker.Options{}).Serve(ctx, l) })
	connect := func(id string) *amq.Conn {
		c := amq.New(amq.Options{Addr: l.Addr().String(), ClientID: id, Log: slog.New(slog.DiscardHandler)})
		wg.Go(func() { _ = c.Run(ctx) })
		return c
	}
	b := &pythonBench{conn: connect("manager"), got: make(chan map[string]any, 64), keys: map[string]Key{}}
	b.client = NewClient(ClientOptions{Bus: connect("mcp"), Source: "mcp", Queue: swf.LegacyControlQueue,
		Keys: func(user string) Ring { return b.keys[user].Ring() }})
	t.Cleanup(b.client.Close)
	hear := func(ctx context.Context, d *amq.Delivery) {
		var m map[string]any
		if err := json.Unmarshal(d.Body, &m); err != nil {
			t.Errorf("%s: %v", d.Body, err)
			return
		}
		m["signature"], m["expires"], m["queue"] = d.Headers[SignatureHeader], d.Headers["expires"], d.Destination
		b.got <- maps.Clone(m)
		if to, _ := m["reply_to"].(string); to != "" && b.answer.Load() != nil {
			for _, body := range (*b.answer.Load())(m) {
				_ = b.conn.Publish(ctx, amq.Message{Destination: to, Body: []byte(body)})
			}
		}
	}
	for _, queue := range []string{swf.LegacyControlQueue("ann"), swf.QueueLegacyWorkflow} {
		sub := b.conn.Subscribe(queue, amq.SubscribeOptions{AutoAck: true}, hear)
		select {
		case <-sub.Ready():
		case <-time.After(30 * time.Second):
			t.Fatal("never subscribed")
		}
	}
	return b
}

func (b *pythonBench) answers(f func(map[string]any) []string) { b.answer.Store(&f) }

// pythonAnswers are what the contract says (3), with stamps that are naive.
func pythonAnswers(status string) func(map[string]any) []string {
	return func(m map[string]any) []string {
		if m["command"] == "ping" {
			return []string{`{"status": "alive", "username": "ann", "timestamp": "2026-01-01T00:00:00"}`}
		}
		text, _ := json.Marshal(status)
		running := "false"
		if strings.Contains(status, "RUNNING") {
			running = "true"
		}
		return []string{`{"username": "ann", "agents_running": ` + running + `, "supervisord_status": ` + string(text) + `, "timestamp": "2026-01-01T00:00:00"}`}
	}
}

func TestPythonManagersAreAskedInTheirOwnShapes(t *testing.T) {
	b := newPythonBench(t)
	b.answers(pythonAnswers("workflow-runner   RUNNING   pid 17, uptime 0:00:09\nexample-data-agent   STOPPED   Not started\n"))
	pong, err := b.client.Ping(t.Context(), "ann")
	if err != nil || !pong.IsPython() || pong.Username != "ann" {
		t.Fatalf("%+v, %v", pong, err)
	}
	m := <-b.got
	if m["command"] != "ping" || m["signature"] != "" || strings.HasPrefix(m["reply_to"].(string), "/queue/testbed.") || m["expires"] == "" {
		t.Errorf("ping: %v", m)
	}
	first := m["reply_to"]
	r, err := b.client.Ask(t.Context(), Command{Verb: Status, Username: "ann"}, nil)
	if err != nil || r.Outcome != Succeeded || !r.Inferred || r.Pong.State != swf.TestbedRunning {
		t.Fatalf("%+v, %v", r, err)
	}
	want := []swf.Program{{Name: "workflow-runner", State: swf.ProgramRunning, PID: 17}, {Name: "example-data-agent", State: swf.ProgramStopped}}
	if d := cmp.Diff(want, r.Programs); d != "" {
		t.Error(d)
	}
	if m := <-b.got; m["reply_to"] != first {
		t.Errorf("an answered queue was not used again: %v, %v", first, m["reply_to"])
	}
	for _, of := range []*Of{{CommandID: "x"}, {Log: "workflow-runner"}, {Config: true}} {
		if r, err := b.client.Ask(t.Context(), Command{Verb: Status, Username: "ann", Of: of}, nil); err != nil || r.Error == nil || r.Error.Code != swf.CodeUnsupported {
			t.Errorf("%+v: %+v, %v", of, r, err)
		}
	}
}

// A late answer, one about somebody else and one of another shape are not
// taken for the answer to a request.
func TestPythonAnswersAreNotMixedUp(t *testing.T) {
	b := newPythonBench(t)
	silent, enough := context.WithCancel(t.Context())
	unanswered := make(chan string, 1)
	go func() {
		defer enough()
		unanswered <- (<-b.got)["reply_to"].(string)
	}()
	if r, err := b.client.Ask(silent, Command{Verb: Status, Username: "ann"}, nil); err != nil || r.Outcome != Pending {
		t.Fatalf("silence: %+v, %v", r, err)
	}
	late := <-unanswered
	now := pythonAnswers("workflow-runner   STOPPED   Not started\n")
	b.answers(func(m map[string]any) []string {
		running := pythonAnswers("workflow-runner   RUNNING   pid 17, uptime 0:00:09\n")(m)[0]
		_ = b.conn.Publish(context.Background(), amq.Message{Destination: late, Body: []byte(running)})
		ping := pythonAnswers("")(map[string]any{"command": "ping"})[0]
		return []string{`[]`, `{"status":"alive","username":"bob"}`, ping, strings.Replace(running, "ann", "bob", 1), now(m)[0]}
	})
	r, err := b.client.Ask(t.Context(), Command{Verb: Status, Username: "ann"}, nil)
	if err != nil || r.Pong == nil || r.Pong.State != swf.TestbedStopped {
		t.Errorf("%+v, %v", r, err)
	}
	silent, enough = context.WithCancel(t.Context())
	b.conn.Subscribe(swf.LegacyControlQueue("bob"), amq.SubscribeOptions{AutoAck: true}, func(context.Context, *amq.Delivery) { enough() })
	if _, err := b.client.Ping(silent, "bob"); !swf.IsCode(err, swf.CodeNoManager) {
		t.Errorf("bob has none: %v", err)
	}
}

// doubtful is a bus that has sent something when patience ends, and cannot say so.
type doubtful struct {
	Bus
	sent func()
}

func (d doubtful) Publish(context.Context, amq.Message) error {
	d.sent()
	return &amq.Error{Code: amq.CodeUncertain}
}

// A question that was on its way when patience ended was not "not sent".
func TestPythonAnswerToAQuestionOnItsWay(t *testing.T) {
	b := newPythonBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.client.o.Bus = doubtful{b.client.o.Bus, cancel}
	if r, err := b.client.Ask(ctx, Command{Verb: Status, Username: "ann"}, nil); err != nil || r.Outcome != Pending {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestPythonManagersGetEachCommandOnce(t *testing.T) {
	b := newPythonBench(t)
	now := time.Now()
	realtime := false
	run, _ := json.Marshal(RunParams{Workflow: "stf_datataking", Config: "fast_processing_default", Namespace: "torre2", Realtime: &realtime, Params: map[string]any{"stf_count": 3}})
	bare, _ := json.Marshal(RunParams{Workflow: "stf_datataking", Namespace: "torre2"})
	end, _ := json.Marshal(StopParams{ExecutionID: "stf_datataking-ann-0001", Namespace: "torre2"})
	for _, tt := range []struct {
		cmd  Command
		want string // of the body
	}{
		{Command{Verb: StartTestbed, ConfigName: "testbed.toml"}, `{"command":"start_testbed","config_name":"testbed.toml","source":"mcp"}`},
		{Command{Verb: StopTestbed}, `{"command":"stop_testbed","source":"mcp"}`},
		{Command{Verb: RunWorkflow, Params: run}, `{"msg_type":"run_workflow","namespace":"torre2","workflow_name":"stf_datataking","config":"fast_processing_default",
			"realtime":false,"duration":0,"params":{"namespace":"torre2","stf_count":3},"source":"mcp"}`},
		{Command{Verb: RunWorkflow, Params: bare}, `{"msg_type":"run_workflow","namespace":"torre2","workflow_name":"stf_datataking","config":null,
			"realtime":true,"duration":0,"params":{"namespace":"torre2"},"source":"mcp"}`},
		{Command{Verb: StopWorkflow, Params: end}, `{"msg_type":"stop_workflow","namespace":"torre2","execution_id":"stf_datataking-ann-0001","source":"mcp"}`},
	} {
		tt.cmd.ID, tt.cmd.Username, tt.cmd.IssuedBy, tt.cmd.IssuedAt = NewID(), "ann", "ann", now
		r, err := b.client.Ask(t.Context(), tt.cmd, nil)
		if err != nil || r.Outcome != Pending || !r.Inferred {
			t.Fatalf("%s: %+v, %v", tt.cmd.Verb, r, err)
		}
		got := <-b.got
		queue := swf.LegacyControlQueue("ann")
		if tt.cmd.Verb == RunWorkflow || tt.cmd.Verb == StopWorkflow {
			queue = swf.QueueLegacyWorkflow
		}
		if _, err := time.Parse("2006-01-02T15:04:05.000000", got["timestamp"].(string)); err != nil || got["queue"] != queue || got["signature"] != "" {
			t.Errorf("%s: %v, %v", tt.cmd.Verb, got, err)
		}
		for _, ours := range []string{"command_id", "username", "issued_by", "issued_at", "expires_at", "timestamp", "queue", "signature", "expires"} {
			delete(got, ours)
		}
		var want map[string]any
		if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", tt.cmd.Verb, d)
		}
	}
	// A restart leaves two managers behind, and a stop without an execution
	// would end whatever runs: neither is sent.
	none, _ := json.Marshal(StopParams{Namespace: "torre2"})
	for _, cmd := range []Command{{Verb: Restart}, {Verb: StopWorkflow, Params: none}, {Verb: RunWorkflow, Params: none}} {
		cmd.ID, cmd.Username = NewID(), "ann"
		if r, err := b.client.Ask(t.Context(), cmd, nil); err != nil || r.Outcome != Refused || r.Error == nil {
			t.Errorf("%s: %+v, %v", cmd.Verb, r, err)
		}
	}
	// With a key it is signed: that does no harm.
	b.keys["ann"] = NewKey()
	b.answers(pythonAnswers(""))
	if _, err := b.client.Ping(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	if m := <-b.got; m["command"] != "ping" || m["signature"] == "" {
		t.Errorf("the next message is %v", m)
	}
	if len(b.got) != 0 {
		t.Errorf("more than one copy: %v", <-b.got)
	}
}

func TestReadSupervisorctl(t *testing.T) {
	for name, tt := range map[string]struct {
		text    string
		running bool
		state   swf.TestbedState
		daemon  string
		names   int
	}{
		"no socket":      {"unix:///tmp/swf-agents-supervisor-ann.sock no such file\n", false, swf.TestbedStopped, "stopped", 0},
		"refused":        {"unix:///tmp/s.sock refused connection", false, swf.TestbedStopped, "stopped", 0},
		"nothing said":   {"", false, swf.TestbedUnknown, "", 0},
		"another tongue": {"Traceback (most recent call last):", false, swf.TestbedUnknown, "", 0},
		"all stopped":    {"a   STOPPED   Not started\nb   EXITED   Nov 23 10:00 AM\n", false, swf.TestbedStopped, "running", 2},
		"some start":     {"a   RUNNING   pid 1, uptime 1 day, 0:00:01\nb   STARTING  \n", true, swf.TestbedPartial, "running", 2},
		"one has died":   {"g:a   RUNNING   pid 1, uptime 0:00:01\ng:b   FATAL     Exited too quickly (process log may have details)\n", true, swf.TestbedPartial, "running", 2},
		"some are idle":  {"a   RUNNING   pid 1, uptime 0:00:01\nb   STOPPED   Not started\n", true, swf.TestbedRunning, "running", 2},
	} {
		programs, state, daemon := readSupervisorctl(tt.text, tt.running)
		if state != tt.state || daemon != tt.daemon || len(programs) != tt.names {
			t.Errorf("%s: %v %s %q", name, programs, state, daemon)
		}
		for _, p := range programs {
			if len(p.Name) != 1 || (p.State == swf.ProgramRunning) != (p.PID == 1) {
				t.Errorf("%s: %+v", name, p)
			}
		}
	}
}

func FuzzPythonReply(f *testing.F) {
	f.Add([]byte(`{"status": "alive", "username": "ann"}`))
	f.Add([]byte(`{"username": "ann", "agents_running": true, "supervisord_status": "a RUNNING pid 99999999999999999999, uptime"}`))
	f.Add([]byte(`{"username": 3, "supervisord_status": null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, verb := range []Verb{Ping, Status} {
			r, ok := pythonReply(verb, "ann", body, time.Unix(0, 0))
			if ok && (r.Pong == nil || r.Outcome == Pending || (r.Outcome == Succeeded && verb == Status && r.Programs == nil)) {
				t.Errorf("%s: %+v", body, r)
			}
		}
	})
}
