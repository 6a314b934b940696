package amq_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
)

// patience is how long a test waits for an event that must come. It is no
// verdict on speed.
const patience = 90 * time.Second

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// server is a broker that a test can end and bring back at the same address.
type server interface {
	Addr() string
	Start(t testing.TB)
	Stop(t testing.TB) // orderly
	Kill(t testing.TB) // or as near to it as the kind allows
}

// embedded runs amq/broker.
type embedded struct {
	addr string
	o    broker.Options

	mu   sync.Mutex
	end  context.CancelFunc
	done chan error
	ours []net.Conn
}

func newEmbedded(t testing.TB, o broker.Options) *embedded {
	t.Helper()
	e := &embedded{addr: "127.0.0.1:0", o: o}
	e.Start(t)
	t.Cleanup(func() { e.Stop(t) })
	return e
}

func (e *embedded) Addr() string { return e.addr }

func (e *embedded) Start(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	e.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	e.mu.Lock()
	e.end, e.done, e.ours = cancel, done, nil
	e.mu.Unlock()
	go func() { done <- broker.New(e.o).Serve(ctx, recording{l, e}) }()
}

// recording remembers the accepted connections, so that Kill can cut them.
type recording struct {
	net.Listener
	e *embedded
}

func (r recording) Accept() (net.Conn, error) {
	nc, err := r.Listener.Accept()
	if err == nil {
		r.e.mu.Lock()
		r.e.ours = append(r.e.ours, nc)
		r.e.mu.Unlock()
	}
	return nc, err
}

func (e *embedded) Stop(t testing.TB) {
	t.Helper()
	e.mu.Lock()
	end, done := e.end, e.done
	e.end = nil
	e.mu.Unlock()
	if end == nil {
		return
	}
	end()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func (e *embedded) Kill(t testing.TB) {
	t.Helper()
	e.mu.Lock()
	for _, nc := range e.ours {
		if tc, ok := nc.(*net.TCPConn); ok {
			_ = tc.SetLinger(0) // a reset, as of a process that died
		}
		_ = nc.Close()
	}
	e.mu.Unlock()
	e.Stop(t)
}

// brisk are options that reconnect fast enough for a test.
func brisk(addr string) amq.Options {
	return amq.Options{Addr: addr, Login: "admin", Passcode: "admin", BackoffMin: 10 * time.Millisecond, BackoffMax: 100 * time.Millisecond}
}

// connect runs a Conn until the end of the test and waits until it is up.
func connect(t testing.TB, o amq.Options) *amq.Conn {
	t.Helper()
	c := amq.New(o)
	start(t, c)
	if err := c.WaitUp(within(t)); err != nil {
		t.Fatal(err)
	}
	return c
}

// start runs c; the returned function ends it and waits.
func start(t testing.TB, c *amq.Conn) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// firstError waits for a failure and returns it: LastError forgets it as soon
// as both connections stand again.
func firstError(t testing.TB, c *amq.Conn) error {
	t.Helper()
	for {
		changed := amq.Changed(c)
		if err := c.LastError(); err != nil {
			return err
		}
		next(t, changed, "a failure")
	}
}

// collect subscribes and passes every delivery on, unacknowledged unless ack.
func collect(t testing.TB, c *amq.Conn, destination string, o amq.SubscribeOptions, ack bool) (<-chan *amq.Delivery, *amq.Subscription) {
	t.Helper()
	got := make(chan *amq.Delivery, 4096)
	s := c.Subscribe(destination, o, func(_ context.Context, d *amq.Delivery) {
		if ack {
			if err := d.Ack(); err != nil {
				t.Errorf("Ack: %v", err)
			}
		}
		got <- d
	})
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return got, s
}

func next[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v, ok := <-c:
		_ = ok
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

func publish(t testing.TB, c *amq.Conn, destination, body string, headers ...string) {
	t.Helper()
	m := amq.Message{Destination: destination, Body: []byte(body), Headers: map[string]string{}}
	for i := 0; i < len(headers); i += 2 {
		m.Headers[headers[i]] = headers[i+1]
	}
	if err := c.Publish(within(t), m); err != nil {
		t.Fatal(err)
	}
}

// unique names a destination of this test alone.
func unique(t testing.TB, kind string) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == '#' || r == ' ' {
			return '.'
		}
		return r
	}, t.Name())
	return fmt.Sprintf("/%s/%s.%d", kind, name, time.Now().UnixNano())
}

// freeAddr returns an address that nobody listened on a moment ago.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
