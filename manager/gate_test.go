package manager

import (
	"net"
	"sync"
	"testing"
)

// gate is a link to a broker that can be stopped, so that nothing passes and
// nobody is told, and cut.
type gate struct {
	ln     net.Listener
	target string
	wg     sync.WaitGroup

	mu    sync.Mutex
	open  *sync.Cond
	shut  bool
	ended bool
	conns []net.Conn
}

func newGate(t *testing.T, target string) *gate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{ln: ln, target: target}
	g.open = sync.NewCond(&g.mu)
	g.wg.Go(g.accept)
	t.Cleanup(func() {
		g.mu.Lock()
		g.ended = true
		g.mu.Unlock()
		ln.Close()
		g.heal(true)
		g.wg.Wait()
	})
	return g
}

func (g *gate) addr() string { return g.ln.Addr().String() }

func (g *gate) accept() {
	for {
		near, err := g.ln.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", g.target)
		if err != nil {
			near.Close()
			continue
		}
		g.mu.Lock()
		g.conns = append(g.conns, near, far)
		if g.ended {
			near.Close()
			far.Close()
		}
		g.mu.Unlock()
		g.wg.Go(func() { g.pass(near, far) })
		g.wg.Go(func() { g.pass(far, near) })
	}
}

func (g *gate) pass(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		g.mu.Lock()
		for g.shut {
			g.open.Wait()
		}
		g.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// stop lets nothing pass until heal.
func (g *gate) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
}

// heal lets pass what was held back, or, with cut, ends the connections that
// held it: they are made anew.
func (g *gate) heal(cut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if cut {
		for _, c := range g.conns {
			c.Close()
		}
		g.conns = nil
	}
	g.shut = false
	g.open.Broadcast()
}
