package dashboard

import (
	"context"
	"sync"

	"github.com/epic-swf/testbed/monitor/store"
)

// topic is what a part of a page shows, and so what makes it old.
type topic uint8

// The topics, as a set of bits.
const (
	topicAgents topic = 1 << iota
	topicExecutions
	topicMessages
	topicLogs

	allTopics = topicAgents | topicExecutions | topicMessages | topicLogs
)

// topicNames are the names of the events, by bit.
var topicNames = []string{"agents", "executions", "messages", "logs"}

// topics says which tables are of a topic; the others are on no page.
var topics = map[*store.Table]topic{
	store.Agents: topicAgents, store.Executions: topicExecutions, store.Messages: topicMessages, store.Logs: topicLogs,
}

// How many pages are told of changes at once: in all, and of one person.
const (
	maxFollowers = 200
	maxOfOne     = 16
)

// Feed tells the pages that something has changed: not what, for they look
// again themselves. The zero value is ready. Safe for concurrent use.
type Feed struct {
	mu        sync.Mutex
	followers map[*follower]bool
	closed    bool
}

// follower is one page. Changes add up until it takes them.
type follower struct {
	owner   string
	changed chan struct{} // has room for one
	gone    chan struct{} // closed when the feed is

	mu      sync.Mutex
	pending topic
}

func (f *Feed) tell(t topic) {
	if t == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.followers {
		p.mu.Lock()
		p.pending |= t
		p.mu.Unlock()
		select {
		case p.changed <- struct{}{}:
		default:
		}
	}
}

// take returns what has changed since it was last asked.
func (p *follower) take() topic {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.pending
	p.pending = 0
	return t
}

// follow adds a page of somebody; false: there are too many, or the feed is
// closed.
func (f *Feed) follow(owner string) (*follower, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	own := 0
	for p := range f.followers {
		if p.owner == owner {
			own++
		}
	}
	if f.closed || len(f.followers) >= maxFollowers || own >= maxOfOne {
		return nil, false
	}
	if f.followers == nil {
		f.followers = make(map[*follower]bool)
	}
	p := &follower{owner: owner, changed: make(chan struct{}, 1), gone: make(chan struct{})}
	f.followers[p] = true
	return p, true
}

func (f *Feed) leave(p *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.followers, p)
}

// Close ends what follows: a server that shuts down does not wait for streams.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for p := range f.followers {
		close(p.gone)
	}
	f.followers = nil
}

// Watched is a store whose writes, once they are done, are told to a feed.
type Watched struct {
	*store.Store
	feed *Feed
}

// Watch returns s, watched. Only what is written through it is told.
func (f *Feed) Watch(s *store.Store) *Watched { return &Watched{s, f} }

func (w *Watched) told(t topic, err error) {
	if err == nil {
		w.feed.tell(t)
	}
}

// Insert is the store's, told to the feed.
func (w *Watched) Insert(ctx context.Context, t *store.Table, r store.Record) (store.Record, error) {
	r, err := w.Store.Insert(ctx, t, r)
	w.told(topics[t], err)
	return r, err
}

// InsertAll is the store's, told to the feed.
func (w *Watched) InsertAll(ctx context.Context, t *store.Table, records []store.Record) ([]store.Record, error) {
	made, err := w.Store.InsertAll(ctx, t, records)
	w.told(topics[t], err)
	return made, err
}

// Update is the store's, told to the feed.
func (w *Watched) Update(ctx context.Context, t *store.Table, key any, change func(store.Record) (store.Record, error)) (store.Record, error) {
	r, err := w.Store.Update(ctx, t, key, change)
	w.told(topics[t], err)
	return r, err
}

// UpdateAll is the store's, told to the feed.
func (w *Watched) UpdateAll(ctx context.Context, t *store.Table, keys []any, change func(i int, current store.Record) (store.Record, error)) ([]store.Record, error) {
	updated, err := w.Store.UpdateAll(ctx, t, keys, change)
	w.told(topics[t], err)
	return updated, err
}

// Delete is the store's, told to the feed.
func (w *Watched) Delete(ctx context.Context, t *store.Table, key any) error {
	err := w.Store.Delete(ctx, t, key)
	w.told(topics[t], err)
	return err
}

// Beat is the store's, told to the feed.
func (w *Watched) Beat(ctx context.Context, b store.Beat) (store.Record, bool, error) {
	r, created, err := w.Store.Beat(ctx, b)
	w.told(topicAgents, err)
	return r, created, err
}

// Record is the store's, told to the feed.
func (w *Watched) Record(ctx context.Context, batch []store.Heard) ([]bool, error) {
	fresh, err := w.Store.Record(ctx, batch)
	var t topic
	for _, h := range batch {
		if h.Message != nil {
			t |= topicMessages
		}
		if h.Beat != nil {
			t |= topicAgents
		}
	}
	w.told(t, err)
	return fresh, err
}
