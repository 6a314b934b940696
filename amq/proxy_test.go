package amq_test

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
)

// proxy stands between a client and a broker and can make either direction a
// black hole, as a firewall does that forgot the connection.
type proxy struct {
	l      net.Listener
	target string
	wg     sync.WaitGroup

	mu    sync.Mutex
	cond  *sync.Cond
	up    bool // towards the broker passes
	down  bool
	conns []net.Conn
	ended bool
}

func newProxy(t testing.TB, target string, l net.Listener) *proxy {
	t.Helper()
	p := &proxy{l: l, target: target, up: true, down: true}
	p.cond = sync.NewCond(&p.mu)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		p.ended = true
		for _, c := range p.conns {
			c.Close()
		}
		p.cond.Broadcast()
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		a, err := p.l.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", p.target)
		if err != nil {
			a.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, a, b)
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(a, b, &p.up) })
		p.wg.Go(func() { p.pass(b, a, &p.down) })
	}
}

// pass copies; while open is false it neither reads nor writes.
func (p *proxy) pass(from, to net.Conn, open *bool) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		p.mu.Lock()
		for !*open && !p.ended {
			p.cond.Wait()
		}
		p.mu.Unlock()
		n, err := from.Read(buf)
		p.mu.Lock()
		for !*open && !p.ended {
			p.cond.Wait()
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) set(up, down bool) {
	p.mu.Lock()
	p.up, p.down = up, down
	p.cond.Broadcast()
	p.mu.Unlock()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// tlsFront puts TLS in front of a broker.
func tlsFront(t testing.TB, target string, c *tls.Config) string {
	t.Helper()
	l := listen(t)
	newProxy(t, target, tls.NewListener(l, c))
	return l.Addr().String()
}

// Half-open: nothing comes back and nobody says so. The heart-beats tell, the
// client reconnects when it can, and the broker gives the unacknowledged
// message to it again.
func TestHalfOpen(t *testing.T) {
	e := newEmbedded(t, broker.Options{})
	l := listen(t)
	p := newProxy(t, e.Addr(), l)
	o := brisk(l.Addr().String())
	o.HeartBeat = 200 * time.Millisecond
	c := connect(t, o)
	got, _ := collect(t, c, "/queue/q", amq.SubscribeOptions{}, false)
	publish(t, c, "/queue/q", "kept")
	next(t, got, "the message")

	p.set(false, false)
	waitDown(t, c)
	if err := c.LastError(); err == nil || !strings.Contains(err.Error(), "silent") {
		t.Errorf("got %v", err)
	}
	p.set(true, true)
	up(t, c)
	if d := next(t, got, "the redelivery"); string(d.Body) != "kept" || !d.Redelivered {
		t.Errorf("got %q, redelivered %v", d.Body, d.Redelivered)
	}
}

// The broker beats but takes nothing: the write deadline tells. Every Publish
// ends, and what was not taken goes over the next connection.
func TestBrokerTakesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("lasts the write time-out of 5 s")
	}
	t.Parallel()
	e := newEmbedded(t, broker.Options{})
	l := listen(t)
	p := newProxy(t, e.Addr(), l)
	c := connect(t, brisk(l.Addr().String()))
	p.set(false, true)
	body := []byte(strings.Repeat("x", amq.MaxBody))
	done, enough := make(chan error, 1), make(chan struct{})
	go func() {
		for {
			err := c.Publish(within(t), amq.Message{Destination: "/topic/t", Body: body})
			select {
			case <-enough:
				done <- err
				return
			default:
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	waitDown(t, c)
	close(enough)
	p.set(true, true)
	if err := next(t, done, "Publish"); err != nil {
		t.Error(err)
	}
	up(t, c)
}

// A client that falls silent without closing loses its subscription, and its
// message goes to another.
func TestSilentClient(t *testing.T) {
	t.Parallel()
	e := newEmbedded(t, broker.Options{})
	r := dialRaw(t, e.Addr())
	r.send("CONNECT\naccept-version:1.2\nheart-beat:1500,0\n\n")
	r.expect("CONNECTED")
	r.send("SUBSCRIBE\nid:1\ndestination:/queue/q\nack:client-individual\n\n")
	r.send("SEND\ndestination:/queue/q\n\nx")
	r.expect("MESSAGE")
	c := connect(t, brisk(e.Addr()))
	got, _ := collect(t, c, "/queue/q", amq.SubscribeOptions{}, true)
	if d := next(t, got, "the redelivery"); !d.Redelivered {
		t.Error("not marked as redelivered")
	}
	r.expect("ERROR\nmessage:heart-beat missing")
	if _, err := io.Copy(io.Discard, r.br); err != nil {
		t.Error(err)
	}
}
