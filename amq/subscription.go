package amq

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/go-stomp/stomp/v3"
)

// Limits of what one subscription holds for a handler that is slow.
const (
	inboxMessages = 16384
	inboxBytes    = 32 << 20
)

// windowPerMessage is what a message counts, in bytes, where a broker's window
// is in bytes. While any of it is left, Artemis sends one more of any size.
const windowPerMessage = 2 << 10

// SubscribeOptions refine a subscription.
type SubscribeOptions struct {
	// Prefetch is how many messages the broker may send ahead of their Acks;
	// default 1. With AutoAck 0 leaves it to the broker.
	Prefetch int
	// AutoAck counts a message as dealt with when it was sent to us: it is
	// lost with the connection or when the inbox is full. Topics are always so.
	AutoAck bool
	// Headers are added to SUBSCRIBE. A reply-to is refused: go-stomp would
	// then not send the frame at all.
	Headers map[string]string
	// OnSubscribed is called on the handler's goroutine each time that the
	// broker was asked for this subscription, before what it then delivers.
	OnSubscribed func()
}

// Subscription is one destination that a Conn keeps consuming.
type Subscription struct {
	conn        *Conn
	destination string
	o           SubscribeOptions
	handle      func(context.Context, *Delivery)
	inbox       inbox
	ready       chan struct{}
	readyOnce   sync.Once
	closeOnce   sync.Once
	dropped     atomic.Uint64
	err         error
}

// Ready is closed once the broker was asked for the subscription for the first
// time, or never if Err says why it cannot be.
func (s *Subscription) Ready() <-chan struct{} { return s.ready }

// Err is an *Error if the destination or the headers cannot be subscribed to;
// the handler is then never called.
func (s *Subscription) Err() error { return s.err }

// Dropped counts messages that were too large, or that an AutoAck subscription
// had no room for.
func (s *Subscription) Dropped() uint64 { return s.dropped.Load() }

// Close ends the subscription: what the handler has not been called with, the
// broker gives to others. It does not wait for a handler that is at work and
// may be called by it.
func (s *Subscription) Close() {
	s.closeOnce.Do(func() {
		s.inbox.close()
		s.conn.forget(s)
	})
}

func (s *Subscription) auto() bool { return s.o.AutoAck || isTopic(s.destination) }

// headers say how far ahead of the Acks the broker may send: to Classic and to
// the embedded broker in messages, to Artemis in bytes. Artemis must always be
// told its own, since it would else take activemq.prefetchSize for bytes: one
// message, and on an automatic subscription no second one ever.
func (s *Subscription) headers() map[string]string {
	h := make(map[string]string, len(s.o.Headers)+2)
	n := s.o.Prefetch
	switch {
	case s.auto():
		h["consumer-window-size"] = "-1" // no limit; there is no Ack to give credit back
	case n <= 1:
		n = 1
		h["consumer-window-size"] = "0" // one message
	default:
		h["consumer-window-size"] = strconv.Itoa(n * windowPerMessage)
	}
	if n > 0 && !isTopic(s.destination) {
		h["activemq.prefetchSize"] = strconv.Itoa(n)
	}
	for k, v := range s.o.Headers {
		h[k] = v
	}
	return h
}

// take turns a frame into a delivery and puts it into the inbox.
func (s *Subscription) take(l *link, m *stomp.Message) {
	d := &Delivery{Message: Message{Destination: m.Destination, Body: m.Body, Headers: make(map[string]string, m.Header.Len())}, sub: s, raw: m}
	for i := range m.Header.Len() {
		k, v := m.Header.GetAt(i)
		if _, repeated := d.Headers[k]; !repeated { // the first one counts
			d.Headers[k] = v
		}
	}
	d.ID, d.Redelivered = d.Headers["message-id"], d.Headers["redelivered"] == "true"
	if !s.auto() {
		d.link = l
	}
	if _, cut := d.Headers[oversized]; cut || len(d.Body) > MaxBody {
		d.cut, d.Body = true, nil
	}
	if s.inbox.put(d) {
		return
	}
	s.drop("the handler is too slow for its inbox")
	if d.link != nil { // far beyond the prefetch that was asked for
		l.w.fail(errOverrun)
	}
}

func (s *Subscription) drop(why string, attrs ...any) {
	if n := s.dropped.Add(1); n&(n-1) == 0 { // 1, 2, 4, 8 …: a flood must not flood the log
		s.conn.o.Log.Warn("message dropped: "+why, append(attrs, "destination", s.destination, "dropped", n)...)
	}
}

// run calls the handler, one delivery after the other.
func (s *Subscription) run(ctx context.Context) {
	for {
		d, ok := s.inbox.get(ctx)
		switch {
		case !ok:
			return
		case d == nil:
			s.readyOnce.Do(func() { close(s.ready) })
			if s.o.OnSubscribed != nil {
				s.o.OnSubscribed()
			}
		case d.cut:
			s.drop("it exceeds the limits", slog.String("message_id", d.ID))
			_ = d.Ack()
		case d.link == nil || d.link.alive(): // else it comes again
			s.handle(ctx, d)
		}
	}
}

// inbox is a bounded queue between a pump, which must never wait, and a
// handler, which may. A nil delivery stands for "subscribed".
type inbox struct {
	mu     sync.Mutex
	items  []*Delivery
	bytes  int
	closed bool
	wake   chan struct{}
}

// put reports whether there was room; a closed inbox swallows.
func (b *inbox) put(d *Delivery) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return true
	}
	if d != nil {
		if len(b.items) >= inboxMessages || b.bytes+len(d.Body) > inboxBytes {
			return false
		}
		b.bytes += len(d.Body)
	}
	b.items = append(b.items, d)
	b.signal()
	return true
}

func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// get waits for the next item; false means that the inbox or ctx is done.
func (b *inbox) get(ctx context.Context) (*Delivery, bool) {
	for {
		b.mu.Lock()
		if b.closed || ctx.Err() != nil {
			b.mu.Unlock()
			return nil, false
		}
		if len(b.items) > 0 {
			d := b.items[0]
			b.items[0] = nil
			b.items = b.items[1:]
			if d != nil {
				b.bytes -= len(d.Body)
			}
			b.mu.Unlock()
			return d, true
		}
		b.items = nil
		b.mu.Unlock()
		select {
		case <-b.wake:
		case <-ctx.Done():
		}
	}
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.items, b.bytes = true, nil, 0
	b.signal()
}
