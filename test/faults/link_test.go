package faults

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// link is a TCP proxy in front of one address, and what may happen to a link.
type link struct {
	ln     net.Listener
	target string
	delay  atomic.Int64 // nanoseconds, before each piece is passed on
	hole   atomic.Bool  // nothing passes, and nobody is told
	away   atomic.Bool  // new connections are refused by closing them
	watch  atomic.Pointer[watch]
	edit   atomic.Pointer[func([]byte)] // changes what passes towards the broker, in place

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// watch calls seen once, before the piece with that text is passed on, in the
// one direction: towards the broker (up) or from it. What seen returns false
// for is never passed on.
type watch struct {
	text []byte
	up   bool
	seen func() bool
	once sync.Once
}

func newLink(t testing.TB, target string) *link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{ln: ln, target: target, conns: make(map[net.Conn]struct{})}
	l.wg.Go(l.accept)
	t.Cleanup(func() {
		l.away.Store(true)
		ln.Close()
		l.cut()
		l.wg.Wait()
	})
	return l
}

func (l *link) addr() string { return l.ln.Addr().String() }

func (l *link) accept() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return
		}
		up, err := net.DialTimeout("tcp", l.target, time.Second)
		if err != nil || l.away.Load() {
			c.Close()
			if err == nil {
				up.Close()
			}
			continue
		}
		l.mu.Lock()
		l.conns[c], l.conns[up] = struct{}{}, struct{}{}
		l.mu.Unlock()
		l.wg.Go(func() { l.pass(up, c, true) })
		l.wg.Go(func() { l.pass(c, up, false) })
	}
}

func (l *link) pass(to, from net.Conn, up bool) {
	defer l.drop(to, from)
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if d := l.delay.Load(); d > 0 {
				pause(time.Duration(d))
			}
			if !l.inspect(b[:n], up) || l.hole.Load() {
				continue // swallowed; both ends believe in the other
			}
			if f := l.edit.Load(); f != nil && up {
				(*f)(b[:n])
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *link) inspect(b []byte, up bool) bool {
	w, pass := l.watch.Load(), true
	if w != nil && w.up == up && bytes.Contains(b, w.text) {
		w.once.Do(func() { pass = w.seen() })
	}
	return pass
}

func (l *link) drop(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(l.conns, c)
	}
}

// cut ends every connection; new ones are taken.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.Close()
	}
}

// blackhole swallows everything from now on. When it ends, what stood before is
// cut: bytes are missing.
func (l *link) blackhole(on bool) {
	if l.hole.Swap(on) && !on {
		l.cut()
	}
}
