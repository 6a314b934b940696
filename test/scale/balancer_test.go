package scale

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// balancer hands each connection to the next of its servers, as the plainest of
// load balancers does; to the one after it where that does not listen. It looks
// at nothing that is sent.
type balancer struct {
	ln   net.Listener
	to   []string
	wait sync.WaitGroup
	ctx  context.Context

	mu    sync.Mutex
	next  int
	taken []int // connections, by server
}

func newBalancer(t testing.TB, to ...string) *balancer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &balancer{ln: ln, to: to, ctx: ctx, taken: make([]int, len(to))}
	b.wait.Go(b.serve)
	t.Cleanup(func() {
		cancel()
		ln.Close()
		b.wait.Wait()
	})
	return b
}

func (b *balancer) addr() string { return b.ln.Addr().String() }

func (b *balancer) serve() {
	for {
		c, err := b.ln.Accept()
		if err != nil {
			return
		}
		b.wait.Go(func() { b.carry(c) })
	}
}

// carry joins a connection to a server until either closes.
func (b *balancer) carry(c net.Conn) {
	defer c.Close()
	s := b.dial()
	if s == nil {
		return
	}
	defer s.Close()
	defer context.AfterFunc(b.ctx, func() { c.Close(); s.Close() })()
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(c, s)
		c.Close()
	}()
	_, _ = io.Copy(s, c)
	s.Close()
	<-back
}

// dial is the next server that listens; nil: none does.
func (b *balancer) dial() net.Conn {
	for range b.to {
		b.mu.Lock()
		i := b.next % len(b.to)
		b.next++
		b.mu.Unlock()
		if s, err := net.Dial("tcp", b.to[i]); err == nil {
			b.mu.Lock()
			b.taken[i]++
			b.mu.Unlock()
			return s
		}
	}
	return nil
}

// shares are how many connections each server had.
func (b *balancer) shares() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]int(nil), b.taken...)
}
