package recorder

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// Bounds of what waits for the store, and the pace of trying it again.
const (
	queueLength = 10_000
	queueBytes  = 16 << 20
	batchLength = 500
	batchBytes  = 4 << 20
	retryFirst  = 250 * time.Millisecond
	retryMost   = 5 * time.Second
	triesWhole  = 3
	lastWrite   = 3 * time.Second
	prefetch    = 1000
)

// Bus is where messages come from. *amq.Conn is one.
type Bus interface {
	Subscribe(destination string, o amq.SubscribeOptions, h func(context.Context, *amq.Delivery)) *amq.Subscription
}

// Store keeps what was heard. *store.Store is one.
type Store interface {
	Record(ctx context.Context, batch []store.Heard) (fresh []bool, err error)
	Count(ctx context.Context, t *store.Table, q store.Query) (int64, error)
}

// Options make a Recorder. Bus and Store are needed.
type Options struct {
	Bus   Bus
	Store Store
	Topic string // default swf.TopicWorkflow
	// Heard is told each workflow message as the bus brings it, enriched for
	// the stream (contract 1.4, SSE). It must not block. nil: nobody is.
	Heard func(enriched json.RawMessage)
	Log   *slog.Logger     // nil: nothing is logged
	Now   func() time.Time // nil: time.Now
}

// Recorder writes down one topic.
type Recorder struct {
	o     Options
	queue chan item
	bytes atomic.Int64
	stats counters

	writing atomic.Int64 // when the first message of the batch at the store was heard, in unix nanoseconds; 0: none is
}

type item struct {
	heard store.Heard
	size  int64
	at    time.Time // on our clock
}

type counters struct{ received, recorded, repeated, ignored, malformed, dropped, refused atomic.Uint64 }

// Stats says what became of the messages since Run began.
type Stats struct {
	Received  uint64 // of the bus
	Recorded  uint64 // kept
	Repeated  uint64 // recorded before
	Ignored   uint64 // neither workflow messages nor heartbeats
	Malformed uint64 // no JSON
	Dropped   uint64 // no room: the store was too slow, or away
	Refused   uint64 // the store would not have them
}

// New returns a recorder that does nothing until Run.
func New(o Options) *Recorder {
	if o.Topic == "" {
		o.Topic = swf.TopicWorkflow
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Recorder{o: o, queue: make(chan item, queueLength)}
}

// Stats returns the counts. Safe at any time.
func (r *Recorder) Stats() Stats {
	c := &r.stats
	return Stats{Received: c.received.Load(), Recorded: c.recorded.Load(), Repeated: c.repeated.Load(), Ignored: c.ignored.Load(),
		Malformed: c.malformed.Load(), Dropped: c.dropped.Load(), Refused: c.refused.Load()}
}

// Run records until ctx ends, writes what it still holds within 3 s, and
// returns ctx's error. The bus must be run by somebody else.
func (r *Recorder) Run(ctx context.Context) error {
	sub := r.o.Bus.Subscribe(r.o.Topic, amq.SubscribeOptions{AutoAck: true, Prefetch: prefetch}, func(_ context.Context, d *amq.Delivery) {
		r.hear(d.Message)
	})
	defer sub.Close()
	if err := sub.Err(); err != nil {
		return swf.E(swf.CodeEnvironment, "the monitor cannot record "+r.o.Topic+": "+err.Error(), "name a topic like "+swf.TopicWorkflow).Because(err)
	}
	// What is held when ctx ends is still written, for a while.
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(lastWrite):
			cancel()
		case <-writing.Done():
		}
	})
	defer stop()
	var told uint64
	for {
		batch, ok := r.next(ctx)
		if !ok {
			break
		}
		r.write(writing, batch)
		r.writing.Store(0)
		if lost := r.stats.dropped.Load() + sub.Dropped(); lost > told {
			r.o.Log.Warn("messages of the bus were not recorded: the store is too slow", "count", lost-told, "in_all", lost)
			told = lost
		}
	}
	sub.Close()
	for batch := r.waiting(nil, 0); len(batch) > 0 && writing.Err() == nil; batch = r.waiting(nil, 0) {
		r.write(writing, batch)
	}
	return ctx.Err()
}

// hear takes one message of the bus and never waits.
func (r *Recorder) hear(m amq.Message) {
	r.stats.received.Add(1)
	now := r.o.Now()
	h, p, err := heard(m, now)
	switch {
	case errors.Is(err, errMalformed):
		r.stats.malformed.Add(1)
		return
	case err != nil:
		r.stats.ignored.Add(1)
		return
	}
	if h.Message != nil && r.o.Heard != nil {
		if e, err := enriched(p, h.Message); err == nil {
			r.o.Heard(e)
		}
	}
	size := int64(len(m.Body))
	if r.bytes.Add(size) > queueBytes {
		r.bytes.Add(-size)
		r.stats.dropped.Add(1)
		return
	}
	select {
	case r.queue <- item{h, size, now}:
	default:
		r.bytes.Add(-size)
		r.stats.dropped.Add(1)
	}
}

// next waits for a message and returns it with what waits behind it; false is
// the end of ctx.
func (r *Recorder) next(ctx context.Context) ([]store.Heard, bool) {
	select {
	case <-ctx.Done():
		return nil, false
	case i := <-r.queue:
		r.bytes.Add(-i.size)
		r.writing.Store(i.at.UnixNano())
		return r.waiting([]store.Heard{i.heard}, i.size), true
	}
}

// waiting adds to batch what waits, within the bounds of a batch. Batches grow
// by themselves: the slower the store, the more waits.
func (r *Recorder) waiting(batch []store.Heard, bytes int64) []store.Heard {
	for len(batch) < batchLength && bytes < batchBytes {
		select {
		case i := <-r.queue:
			r.bytes.Add(-i.size)
			bytes += i.size
			batch = append(batch, i.heard)
		default:
			return batch
		}
	}
	return batch
}

// write records a batch. A store that is away, or kept at work by others, is
// tried again until ctx ends; a batch that a store which answers refuses is taken
// apart, so that one message that cannot be kept does not cost the others.
func (r *Recorder) write(ctx context.Context, batch []store.Heard) {
	pause := retryFirst
	for try := 1; ; try++ {
		fresh, err := r.o.Store.Record(ctx, batch)
		if err == nil {
			r.count(batch, fresh)
			return
		}
		_, away := r.o.Store.Count(ctx, store.Namespaces, store.Query{})
		refused := away == nil && !errors.Is(err, store.ErrNotBegun) && try >= triesWhole
		switch {
		case ctx.Err() != nil:
			r.stats.dropped.Add(uint64(len(batch)))
			return
		case refused && len(batch) == 1:
			r.stats.refused.Add(1)
			r.o.Log.Error("a message of the bus cannot be recorded", "error", err)
			return
		case refused:
			for i := range batch {
				r.write(ctx, batch[i:i+1])
			}
			return
		case try == 1:
			r.o.Log.Warn("the store did not take a batch of messages, trying again", "count", len(batch), "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, retryMost)
	}
}

func (r *Recorder) count(batch []store.Heard, fresh []bool) {
	for i, h := range batch {
		switch {
		case h.Message == nil:
		case fresh[i]:
			r.stats.recorded.Add(1)
		default:
			r.stats.repeated.Add(1)
		}
	}
}
