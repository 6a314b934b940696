package web

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

type connKey struct{}

// tracked is one open connection. It is in a handler while serving is not
// zero; only then is it spared when room is needed.
type tracked struct {
	conn    net.Conn
	serving atomic.Int32
}

// connTable caps the number of open connections.
type connTable struct {
	limit int

	mu    sync.Mutex
	byAge *list.List // of *tracked, oldest first
	at    map[net.Conn]*list.Element
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
		_ = victim.Close() // the server notices and forgets it
	}
	return context.WithValue(ctx, connKey{}, tr)
}

// evict removes and returns the oldest connection in no handler. The newest is
// in none yet, so there always is one.
func (t *connTable) evict() net.Conn {
	for e := t.byAge.Front(); e != nil; e = e.Next() {
		tr := e.Value.(*tracked)
		if tr.serving.Load() == 0 {
			t.byAge.Remove(e)
			delete(t.at, tr.conn)
			return tr.conn
		}
	}
	return nil
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
	case http.StateClosed, http.StateHijacked:
		t.byAge.Remove(e)
		delete(t.at, c)
	case http.StateIdle:
		t.byAge.MoveToBack(e) // it has just worked: the last to go
	}
}

// serving marks connections whose request has reached next, and counts the
// handlers that run.
func (t *connTable) serving(running *sync.WaitGroup, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Done()
		if tr, ok := r.Context().Value(connKey{}).(*tracked); ok {
			tr.serving.Add(1)
			defer tr.serving.Add(-1)
		}
		next.ServeHTTP(w, r)
	})
}
