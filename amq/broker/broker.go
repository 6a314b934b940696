package broker

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Broker. The zero value of each has a default.
type Options struct {
	Login, Passcode string           // both empty: everybody is let in
	MaxClients      int              // connections at once; default 16384
	MaxBody         int              // bytes of one body; default 256 KiB. Headers: 64 in 16 KiB
	MaxQueueBytes   int64            // held by one queue; default 32 MiB. The sender beyond gets an ERROR
	MaxMemory       int64            // held by all queues and outboxes; default 128 MiB
	MaxOutbox       int              // bytes waiting for one client that does not read; default 16 MiB. Beyond it is cut off
	ConnectTimeout  time.Duration    // until CONNECT; default 10 s
	WriteTimeout    time.Duration    // for a client to take 64 KiB; default 30 s
	Now             func() time.Time // for the expires header; default time.Now
	Log             *slog.Logger     // default: silent
}

const (
	maxHeaders       = 64
	maxSubscriptions = 1024      // of one client
	softOutbox       = 256 << 10 // a queue waits while a client has more than this to read
	sweepEvery       = 5 * time.Second
	stuckAfter       = 100 * time.Millisecond // without taking anything, a client is not waited for
)

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Broker holds queues and topics. Use New; safe for concurrent use.
type Broker struct {
	o       Options
	boot    string        // makes message ids of two runs differ
	lastID  atomic.Uint64 // of messages and subscriptions
	held    atomic.Int64  // bytes in queues and outboxes
	clients sync.WaitGroup

	mu       sync.RWMutex
	queues   map[string]*queue
	topics   map[string][]*subscription // the slices are never changed, only replaced
	sessions map[*session]struct{}
}

// New returns a Broker that serves nobody yet.
func New(o Options) *Broker {
	orDefault(&o.MaxClients, 16384)
	orDefault(&o.MaxBody, 256<<10)
	orDefault(&o.MaxQueueBytes, 32<<20)
	orDefault(&o.MaxMemory, 128<<20)
	orDefault(&o.MaxOutbox, 16<<20)
	orDefault(&o.ConnectTimeout, 10*time.Second)
	orDefault(&o.WriteTimeout, 30*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var boot [4]byte
	_, _ = rand.Read(boot[:]) // never fails
	return &Broker{o: o, boot: hex.EncodeToString(boot[:]) + "-", queues: make(map[string]*queue),
		topics: make(map[string][]*subscription), sessions: make(map[*session]struct{})}
}

// Serve takes clients from l until ctx ends, then closes l, writes out what is
// waiting for clients that still read, closes all and returns nil with no
// goroutine left. An error of l, which it also closes, ends it likewise. It can
// be called once.
func (b *Broker) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	b.clients.Go(func() { b.sweep(ctx) })
	err := b.accept(ctx, l)
	cancel()
	_ = l.Close()
	b.mu.Lock()
	for s := range b.sessions {
		s.finish()
	}
	b.mu.Unlock()
	b.clients.Wait()
	return err
}

func (b *Broker) accept(ctx context.Context, l net.Listener) error {
	for {
		nc, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = nc.Close()
			}
			return nil
		}
		var temporary interface{ Temporary() bool }
		if errors.As(err, &temporary) && temporary.Temporary() { // out of file descriptors, say
			b.o.Log.Warn("broker cannot accept", "error", err)
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("broker: %w", err)
		}
		b.admit(nc)
	}
}

// admit starts a session, or hangs up when there are too many.
func (b *Broker) admit(nc net.Conn) {
	s := newSession(b, nc)
	b.mu.Lock()
	full := len(b.sessions) >= b.o.MaxClients
	if !full {
		b.sessions[s] = struct{}{}
	}
	b.mu.Unlock()
	if full {
		b.o.Log.Warn("broker is full; a client was turned away", "clients", b.o.MaxClients)
		_ = nc.Close()
		return
	}
	b.clients.Go(s.run)
}

func (b *Broker) depart(s *session) {
	b.mu.Lock()
	delete(b.sessions, s)
	b.mu.Unlock()
}

// authentic compares in constant time.
func (b *Broker) authentic(login, passcode string) bool {
	if b.o.Login == "" && b.o.Passcode == "" {
		return true
	}
	return subtle.ConstantTimeCompare([]byte(login), []byte(b.o.Login))&subtle.ConstantTimeCompare([]byte(passcode), []byte(b.o.Passcode)) == 1
}

// lock returns the queue of that name, made if need be, with its lock held.
func (b *Broker) lock(name string) *queue {
	for {
		b.mu.RLock()
		q := b.queues[name]
		b.mu.RUnlock()
		if q == nil {
			b.mu.Lock()
			if q = b.queues[name]; q == nil {
				q = &queue{b: b, name: name}
				b.queues[name] = q
			}
			b.mu.Unlock()
		}
		q.mu.Lock()
		if !q.dead {
			return q
		}
		q.mu.Unlock()
		b.forget(q)
	}
}

// forget takes a dead queue off the list.
func (b *Broker) forget(q *queue) {
	b.mu.Lock()
	if b.queues[q.name] == q {
		delete(b.queues, q.name)
	}
	b.mu.Unlock()
}

// tidy removes the queue if it is empty and nobody consumes it.
func (b *Broker) tidy(q *queue) {
	if q.sweep(b.o.Now()) {
		b.forget(q)
	}
}

// sweep drops expired messages of queues that nobody looks at.
func (b *Broker) sweep(ctx context.Context) {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			b.sweepOnce()
		}
	}
}

func (b *Broker) sweepOnce() {
	b.mu.RLock()
	all := make([]*queue, 0, len(b.queues))
	for _, q := range b.queues {
		all = append(all, q)
	}
	b.mu.RUnlock()
	for _, q := range all {
		b.tidy(q)
	}
}

// publish gives m to every subscription of its topic. A client that does not
// read hurts only itself; one that reads too slowly costs the sender at most a
// millisecond per message, until it is cut off.
func (b *Broker) publish(m *message) {
	b.mu.RLock()
	subs := b.topics[m.destination]
	b.mu.RUnlock()
	var tails [len(versions)][]byte
	behind := false
	for _, c := range subs {
		t := &tails[c.s.v]
		if *t == nil {
			*t = m.appendTail(make([]byte, 0, m.size()), c.s.v)
		}
		behind = !c.s.deliver(c, m, *t, false) || behind
	}
	if behind { // no event to wait for: the slow one is to catch up a little, not to hold the sender
		<-time.After(time.Millisecond)
	}
}

func (b *Broker) join(c *subscription) {
	b.mu.Lock()
	b.topics[c.name] = append(slices.Clone(b.topics[c.name]), c)
	b.mu.Unlock()
}

func (b *Broker) part(c *subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := slices.DeleteFunc(slices.Clone(b.topics[c.name]), func(x *subscription) bool { return x == c })
	if len(rest) == 0 {
		delete(b.topics, c.name)
	} else {
		b.topics[c.name] = rest
	}
}
