package agents

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits that only a broken program lets run out.
const patience = 90 * time.Second

// stage is a real broker and a real monitor, the latter with a switch.
type stage struct {
	t       *testing.T
	bus     *amq.Conn
	monitor *monitor.Client
	down    atomic.Bool
	single  atomic.Bool                   // it takes no lists, as the Python one
	lose    atomic.Int64                  // so many answers to posted slices are lost
	losing  func()                        // called before one is
	unnamed atomic.Pointer[chan struct{}] // until it is closed agents get no name
	outbox  string                        // of the agents of a pipeline, whose next one tells what the last could not
	probes  atomic.Int64
	seen    chan swf.Message // everything on the topic, as a second client sees it
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, outbox: t.TempDir(), seen: make(chan swf.Message, 1000)}
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "monitor.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	real := api.New(api.Options{Store: st, Token: "secret"})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			panic(http.ErrAbortHandler)
		}
		if c := s.unnamed.Load(); c != nil && strings.HasPrefix(r.URL.Path, "/api/state/next-agent-id/") {
			select {
			case <-*c:
			case <-r.Context().Done():
			}
		}
		if s.single.Load() && s.refusesList(w, r) {
			return
		}
		if r.Method == http.MethodPost && r.URL.Path == "/api/tf-slices/" && s.lose.Add(-1) >= 0 {
			real.ServeHTTP(httptest.NewRecorder(), r)
			if s.losing != nil {
				s.losing()
			}
			panic(http.ErrAbortHandler)
		}
		real.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.monitor = monitor.New(monitor.Options{URL: server.URL, Token: "secret"})
	t.Cleanup(s.monitor.Close)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.background(func(ctx context.Context) { broker.New(broker.Options{}).Serve(ctx, l) })
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
	return s
}

// refusesList answers a written list as the Python monitor does.
func (s *stage) refusesList(w http.ResponseWriter, r *http.Request) bool {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	switch {
	case !bytes.HasPrefix(body, []byte("[")):
		return false
	case r.Method == http.MethodPatch:
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}`)
	}
	return true
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
		Bus: s.bus, Monitor: s.monitor, Username: "ann", Namespace: "ns1", StartID: "start-1", Program: "example-data-agent",
		Beat: 50 * time.Millisecond,
	}
}

func (s *stage) wait(c <-chan struct{}, what string) {
	s.t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		s.t.Fatalf("waited in vain for: %s", what)
	}
}

// eventually polls the monitor, which cannot call back.
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

// start runs an agent and returns how to end it.
func (s *stage) start(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			s.t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); s.wait(done, "end of the agent") }
	s.t.Cleanup(stop)
	return stop
}

// agent returns the only agent that the monitor knows in a state, or nil.
func (s *stage) agent(op string) *swf.Agent {
	s.t.Helper()
	all, err := s.monitor.Agents(s.t.Context())
	if err != nil {
		return nil
	}
	var found *swf.Agent
	for i := range all {
		if all[i].OperationalState == op {
			found = &all[i]
		}
	}
	return found
}
