package workflows

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits that only a broken program lets run out.
const patience = 90 * time.Second

// stage is a real broker, a real monitor with a switch, and a manager's view
// of one user's runner.
type stage struct {
	t       *testing.T
	bus     *amq.Conn
	monitor *monitor.Client
	down    atomic.Bool
	probes  atomic.Int64
	seen    chan swf.Message // everything on the topic
	key     control.Key
	runs    control.Runs
	sources config.Sources
	testbed *config.Testbed
	client  *control.Client

	addr       string // of the broker
	stopBroker func()

	mu      sync.Mutex
	patches []string // bodies of PATCHes of executions
}

const testbedFile = `[testbed]
namespace = "ns1"

[agents.data]
enabled = false

[workflow]
name = "stf_datataking"
config = "stf_datataking_default"
realtime = false
`

func newStage(t *testing.T, testbed string) *stage {
	t.Helper()
	dir := t.TempDir()
	s := &stage{t: t, seen: make(chan swf.Message, 10_000), key: control.NewKey(), runs: control.Runs{Dir: filepath.Join(dir, "runs")}}
	s.startMonitor(dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.startBroker(l)
	s.bus = s.connect(l.Addr().String())
	watcher := s.connect(l.Addr().String())
	watcher.Subscribe(swf.TopicWorkflow, amq.SubscribeOptions{AutoAck: true}, func(_ context.Context, d *amq.Delivery) {
		m, err := swf.DecodeMessage(d.Body)
		if err != nil {
			t.Errorf("on the topic: %v", err)
			return
		}
		s.seen <- m
	})
	s.settled(watcher)

	if err := os.MkdirAll(filepath.Join(dir, "workflows"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "workflows", "testbed.toml"), []byte(testbed), 0o600); err != nil {
		t.Fatal(err)
	}
	s.sources = config.Sources{Dir: dir, Embedded: Files}
	if s.testbed, err = config.Load(s.sources, "testbed"); err != nil {
		t.Fatal(err)
	}
	s.client = s.clientWith(s.key)
	return s
}

// startBroker serves on l until stopBroker or the end of the test.
func (s *stage) startBroker(l net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); broker.New(broker.Options{}).Serve(ctx, l) }()
	s.stopBroker = func() { cancel(); <-done }
	s.t.Cleanup(s.stopBroker)
}

func (s *stage) startMonitor(dir string) {
	st, err := store.Open(s.t.Context(), store.Options{Path: filepath.Join(dir, "monitor.db")})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { st.Close() })
	real := api.New(api.Options{Store: st, Token: "secret"})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			panic(http.ErrAbortHandler)
		}
		if r.Method == http.MethodPatch && strings.HasPrefix(r.URL.Path, "/api/workflow-executions/") {
			s.mu.Lock()
			s.patches = append(s.patches, r.URL.Path)
			s.mu.Unlock()
		}
		real.ServeHTTP(w, r)
	}))
	s.t.Cleanup(server.Close)
	s.monitor = monitor.New(monitor.Options{URL: server.URL, Token: "secret"})
	s.t.Cleanup(s.monitor.Close)
}

func (s *stage) clientWith(k control.Key) *control.Client {
	c := control.NewClient(control.ClientOptions{Bus: s.bus, Keys: func(string) control.Ring { return k.Ring() }, Queue: swf.WorkflowQueue, Source: "test"})
	s.t.Cleanup(c.Close)
	return c
}

func (s *stage) connect(addr string) *amq.Conn {
	c := amq.New(amq.Options{Addr: addr, Log: slog.New(slog.DiscardHandler)})
	s.background(func(ctx context.Context) { c.Run(ctx) })
	return c
}

// background runs f until the test ends and then waits for it.
func (s *stage) background(f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	s.t.Cleanup(func() { cancel(); <-done })
}

// settled waits until the broker has taken every subscription made over c so
// far: it takes them in order, and the last one finds a message waiting.
func (s *stage) settled(c *amq.Conn) {
	s.t.Helper()
	queue := fmt.Sprintf("/queue/settled.%d", s.probes.Add(1))
	if err := c.Publish(s.t.Context(), amq.Message{Destination: queue, Body: []byte("{}")}); err != nil {
		s.t.Fatal(err)
	}
	got := make(chan struct{})
	sub := c.Subscribe(queue, amq.SubscribeOptions{AutoAck: true}, func(context.Context, *amq.Delivery) { close(got) })
	defer sub.Close()
	s.wait(got, "the broker to take the subscriptions")
}

func (s *stage) options() Options {
	return Options{
		Bus: s.bus, Monitor: s.monitor, Key: s.key, Runs: s.runs, Testbed: s.testbed, Sources: s.sources,
		Username: "ann", Namespace: s.testbed.Namespace, StartID: "start-1", Program: config.RunnerProgram,
	}
}

// start runs a runner and returns how to end it.
func (s *stage) start(o Options) (stop func()) {
	s.t.Helper()
	r, err := New(o)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			s.t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); s.wait(done, "end of the runner") }
	s.t.Cleanup(stop)
	return stop
}

func (s *stage) wait(c <-chan struct{}, what string) {
	s.t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		s.t.Fatalf("waited in vain for: %s", what)
	}
}

// eventually polls the monitor or the disk, which cannot call back.
func (s *stage) eventually(what string, ok func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited in vain for: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// next returns the next message of that type on the topic.
func (s *stage) next(kind string) swf.Message {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case m := <-s.seen:
			if m.Type() == kind {
				return m
			}
		case <-timeout:
			s.t.Fatalf("no %s came", kind)
		}
	}
}

// ask sends one command to the runner and returns its outcome.
func (s *stage) ask(verb control.Verb, id string, params any) control.Reply {
	s.t.Helper()
	body, err := json.Marshal(params)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	r, err := s.client.Ask(ctx, control.Command{Verb: verb, ID: id, Username: "ann", Params: body, IssuedBy: "ann"}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *stage) run(id string, p control.RunParams) control.Reply {
	s.t.Helper()
	return s.ask(control.RunWorkflow, id, p)
}

// begin starts a run that must begin.
func (s *stage) begin(id string, p control.RunParams) string {
	s.t.Helper()
	r := s.run(id, p)
	if r.Outcome != control.Succeeded || r.ExecutionID == "" {
		s.t.Fatalf("run_workflow: %+v %+v", r, r.Error)
	}
	return r.ExecutionID
}

// execution waits until the monitor shows that status.
func (s *stage) execution(id, status string) *swf.Execution {
	s.t.Helper()
	var x *swf.Execution
	s.eventually(id+" to be "+status, func() bool {
		var err error
		x, err = s.monitor.Execution(s.t.Context(), id)
		return err == nil && x != nil && x.Status == status
	})
	return x
}

func (s *stage) patched() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.patches)
}

// refused checks for a refusal with that code.
func (s *stage) refused(r control.Reply, code swf.Code) {
	s.t.Helper()
	if r.Outcome != control.Refused || r.Error == nil || r.Error.Code != code || r.Error.Hint == "" {
		s.t.Errorf("got %s %+v, want refused, %s", r.Outcome, r.Error, code)
	}
}

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }
