package store

import (
	"context"
	"database/sql"
	"sync"
)

// group gathers heartbeats where one transaction at a time writes: all that
// come while it is waited for share it. A lone one waits for nobody; of
// thousands of managers, those that a slow disk held up are written at once.
type group struct {
	mu      sync.Mutex
	waiting []*grouped
}

// grouped is a heartbeat on its way, and what came of it once done is closed.
type grouped struct {
	beat    Beat
	agent   Record
	created bool
	err     error
	done    chan struct{}
}

// join adds a heartbeat and reports whether it is the first, whose caller must
// write for all.
func (g *group) join(w *grouped) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, w)
	return len(g.waiting) == 1
}

// take returns who waits. The next to come is a first again.
func (g *group) take() []*grouped {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.waiting
	g.waiting = nil
	return all
}

// beatTogether is Beat by way of the group. A caller whose context ends does
// not know whether its heartbeat counts.
func (s *Store) beatTogether(ctx context.Context, b Beat) (agent Record, created bool, err error) {
	w := &grouped{beat: b, done: make(chan struct{})}
	if s.beats.join(w) {
		s.writeBeats(context.WithoutCancel(ctx)) // others depend on it
	}
	select {
	case <-w.done:
		return w.agent, w.created, w.err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// writeBeats waits for its turn to write, then writes what has gathered. If that
// fails each is tried alone, so that only those fail that must.
func (s *Store) writeBeats(ctx context.Context) {
	var all []*grouped
	err := s.transact(ctx, func(tx *sql.Tx) error {
		all = s.beats.take()
		for _, w := range all {
			var err error
			if w.agent, w.created, err = s.beat(ctx, tx, w.beat); err != nil {
				return err
			}
		}
		return nil
	})
	if all == nil { // it never had its turn
		all = s.beats.take()
	}
	for _, w := range all {
		if w.err = err; err != nil && len(all) > 1 {
			w.agent, w.created, w.err = s.beatAlone(ctx, w.beat)
		}
		close(w.done)
	}
}
