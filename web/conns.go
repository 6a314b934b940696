package web

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

type connKey struct{}

// tracked is one open connection. It is in a handler while serving is not
// zero; only then is it spared when room is needed.
type tracked struct {
	conn     net.Conn
	serving  atomic.Int32
	used     bool // a request has begun on it
	answered bool // and one has been answered
}

// connTable caps the number of open connections. Of a crowd of clients most
// connections only wait for their client's next request; of those no more than
// half of the cap are kept, the others end with their next answer. A client that
// is told so loses nothing; one whose connection is closed to make room loses
// the request that was on its way.
type connTable struct {
	limit int

	mu    sync.Mutex
	byAge *list.List // of *tracked, oldest first
	at    map[net.Conn]*list.Element
	kept  int // those that have been answered
}

func newConnTable(limit int) *connTable {
	return &connTable{limit: limit, byAge: list.New(), at: map[net.Conn]*list.Element{}}
}

// opened is http.Server.ConnContext: called once for each new connection, in
// the accept loop.
func (t *connTable) opened(ctx context.Context, c net.Conn) context.Context {
	tr := &tracked{conn: c}
	t.mu.Lock()
	t.at[c] = t.byAge.PushBack(tr)
	var victim net.Conn
	if t.byAge.Len() > t.limit {
		victim = t.evict()
	}
	t.mu.Unlock()
	if victim != nil {
		hangUp(victim) // the server notices and forgets it
	}
	return context.WithValue(ctx, connKey{}, tr)
}

// crowded reports whether a connection should end with its next answer. What
// strangers hold, who have had none, does not count: they must not have others
// lose what they keep.
func (t *connTable) crowded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kept > t.limit/2
}

// forget takes a connection off the list. t.mu is held.
func (t *connTable) forget(e *list.Element) *tracked {
	tr := t.byAge.Remove(e).(*tracked)
	delete(t.at, tr.conn)
	if tr.answered {
		t.kept--
	}
	return tr
}

// evict removes and returns the oldest connection in no handler, one that never
// had an answer before those that had: so a flood of connections that say
// nothing does not take clients' away. The newest goes where all others are at
// work.
func (t *connTable) evict() net.Conn {
	newest := t.byAge.Back()
	victim := newest
	for e := t.byAge.Front(); e != newest; e = e.Next() {
		tr := e.Value.(*tracked)
		if tr.serving.Load() > 0 {
			continue
		}
		if victim == newest {
			victim = e
		}
		if !tr.answered {
			victim = e
			break
		}
	}
	return t.forget(victim).conn
}

// closeUnused closes the connections that were only kept in reserve, as HTTP
// clients do: http.Server.Shutdown would wait 5 s for a request on them.
func (t *connTable) closeUnused() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c, e := range t.at {
		if !e.Value.(*tracked).used {
			hangUp(c)
		}
	}
}

// hangUp closes a connection without the good-bye of TLS, for which a peer that
// does not read makes its sender wait 5 s.
func hangUp(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	_ = c.Close()
}

// changed is http.Server.ConnState.
func (t *connTable) changed(c net.Conn, state http.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.at[c]
	if !ok {
		return
	}
	switch state {
	case http.StateActive:
		e.Value.(*tracked).used = true
	case http.StateClosed, http.StateHijacked:
		t.forget(e)
	case http.StateIdle:
		if tr := e.Value.(*tracked); !tr.answered {
			tr.answered = true
			t.kept++
		}
		t.byAge.MoveToBack(e) // it has just worked: the last to go
	}
}

// drainTime is how long what is left of a request's body may take to come
// after its answer: the server reads it before the next request, or forever
// where a client sends nothing.
const drainTime = 5 * time.Second

// serving marks connections whose request has reached next, and counts the
// handlers that run.
func (t *connTable) serving(running *inFlight, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.add(1)
		defer running.add(-1)
		if tr, ok := r.Context().Value(connKey{}).(*tracked); ok {
			tr.serving.Add(1)
			defer tr.serving.Add(-1)
		}
		if t.crowded() {
			w.Header().Set("Connection", "close")
		}
		defer func() {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTime)) // unsupported only by test recorders
		}()
		next.ServeHTTP(w, r)
	})
}

// inFlight counts handlers that run. A WaitGroup would not do: requests begin
// while the end is waited for.
type inFlight struct {
	mu   sync.Mutex
	n    int
	zero chan struct{} // closed and renewed when n falls to 0; nil until asked for
}

func (f *inFlight) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n += n
	if f.n == 0 && f.zero != nil {
		close(f.zero)
		f.zero = nil
	}
}

// wait reports whether no handler was left within limit.
func (f *inFlight) wait(limit time.Duration) bool {
	f.mu.Lock()
	if f.n == 0 {
		f.mu.Unlock()
		return true
	}
	if f.zero == nil {
		f.zero = make(chan struct{})
	}
	zero := f.zero
	f.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-zero:
		return true
	case <-timer.C:
		return false
	}
}
