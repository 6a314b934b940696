package amq

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Conn is a pair of STOMP connections to one broker, one to publish and one to
// consume, so that an ERROR on either costs the other nothing. Both are kept up
// by Run. All methods are safe for concurrent use.
type Conn struct {
	o   Options
	err error // of the options

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change of what follows
	out, in *link         // nil while down
	lastErr error
	state   runState
	ctx     context.Context // of Run
	subs    []*Subscription
	workers sync.WaitGroup // the handlers' goroutines

	requests requests
	count    counters
}

type runState int

const (
	idle runState = iota
	running
	ended
)

var errOverrun = errors.New("the broker sent more messages than it may before their ACKs")

// New returns a Conn that does nothing until Run. Options that cannot work are
// the error of Run and Publish.
func New(o Options) *Conn {
	c := &Conn{o: o.withDefaults(), changed: make(chan struct{})}
	c.err = c.o.check()
	c.requests.init(o.Login)
	return c
}

// Run keeps both connections up until ctx ends, then says goodbye to the
// broker, waits for the handlers at work (their context has ended) and returns
// ctx's error with no goroutine left. It can be called once.
func (c *Conn) Run(ctx context.Context) error {
	if c.err != nil {
		return c.err
	}
	c.mu.Lock()
	if c.state != idle {
		c.mu.Unlock()
		return fault(CodeClosed, nil, "Run was called before")
	}
	c.state, c.ctx = running, ctx
	for _, s := range c.subs {
		c.work(s)
	}
	c.mu.Unlock()

	var keepers sync.WaitGroup
	keepers.Go(func() { c.keep(ctx, &c.out, &c.count.out, "publishing", suffixed(c.o.ClientID, "-pub")) })
	keepers.Go(func() { c.keep(ctx, &c.in, &c.count.in, "consuming", c.o.ClientID) })
	keepers.Wait()

	c.mu.Lock()
	c.state = ended
	c.announce()
	c.mu.Unlock()
	c.workers.Wait()
	return ctx.Err()
}

func suffixed(id, suffix string) string {
	if id == "" {
		return ""
	}
	return id + suffix
}

// work starts the goroutine of a subscription. c.mu is held.
func (c *Conn) work(s *Subscription) {
	ctx := c.ctx
	c.workers.Go(func() { s.run(ctx) })
}

// keep holds one of the two links up until ctx ends. A link counts as good
// once it has lived as long as the longest back-off: a broker that takes us in
// only to throw us out is not hammered.
func (c *Conn) keep(ctx context.Context, slot **link, count *linkCounters, role, clientID string) {
	log := c.o.Log.With("broker", c.o.Addr, "connection", role)
	for attempt := 0; ctx.Err() == nil; attempt++ {
		l, err := dial(ctx, &c.o, clientID)
		loud := attempt == 0 || err == nil // what is lost is told, each further failure not
		if err == nil {
			began := time.Now()
			log.Info("broker connected", "attempt", attempt)
			count.connects.Add(1)
			c.set(slot, l)
			select {
			case <-l.w.dead:
				err = l.w.cause()
				c.note(err)
			case <-ctx.Done():
			}
			c.set(slot, nil)
			l.close()
			if time.Since(began) >= c.o.BackoffMax {
				attempt = 0
			}
		}
		if ctx.Err() != nil {
			return
		}
		count.failures.Add(1)
		if c.note(err); loud {
			log.Warn("no connection to the broker; trying again for ever", "error", err)
		} else {
			log.Debug("no connection to the broker", "error", err, "attempt", attempt)
		}
		t := time.NewTimer(backoff(attempt, c.o.BackoffMin, c.o.BackoffMax))
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// backoff is a random time from least to least·2^(attempt+1), never over most:
// a thousand managers must not come back in one instant.
func backoff(attempt int, least, most time.Duration) time.Duration {
	limit := most
	if attempt < 20 {
		limit = min(most, least<<(attempt+1))
	}
	return least + rand.N(max(limit-least, 0)+1)
}

// set publishes a link that came up (and puts all subscriptions on it) or went
// down (nil).
func (c *Conn) set(slot **link, l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*slot = l
	if slot == &c.in && l != nil {
		for _, s := range c.subs {
			if l.subscribe(s) != nil {
				break // the link is dead already; its keeper sees that
			}
		}
	}
	if c.out != nil && c.in != nil {
		c.lastErr = nil
	}
	c.announce()
}

// announce wakes those who wait for a change. c.mu is held.
func (c *Conn) announce() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Conn) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastErr = err
	c.announce()
}

// wait blocks until ok holds; it is called with c.mu held.
func (c *Conn) wait(ctx context.Context, ok func() bool) error {
	if c.err != nil {
		return c.err
	}
	for {
		c.mu.Lock()
		good, state, changed, last := ok(), c.state, c.changed, c.lastErr
		c.mu.Unlock()
		if good {
			return nil
		}
		if state == ended {
			return fault(CodeClosed, nil, "the connection to broker %s was closed", c.o.Addr)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if last == nil {
				last = ctx.Err()
			}
			return fault(CodeUnreachable, last, "broker %s is unreachable", c.o.Addr)
		}
	}
}

// Up reports whether both connections stand.
func (c *Conn) Up() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.up()
}

func (c *Conn) up() bool { return c.out != nil && c.in != nil }

// WaitUp waits until both connections stand; when ctx ends first the error is
// an *Error, broker_unreachable, that wraps the last failure.
func (c *Conn) WaitUp(ctx context.Context) error { return c.wait(ctx, c.up) }

// LastError is the last failure to connect or of a connection, nil while both
// stand.
func (c *Conn) LastError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastErr
}

// Publish sends m and returns nil once the kernel has taken all of it. It waits
// for a connection, and tries again over the next one when the broker cannot
// have had the whole frame, until ctx ends; the *Error is then
// broker_unreachable, or uncertain where the message was being written. A Once
// message is tried on one connection alone; when that breaks, the *Error is
// uncertain. No receipt is asked for: nil does not mean that the broker has it.
// A message is written within 5 s or its connection is given up.
func (c *Conn) Publish(ctx context.Context, m Message) error {
	if err := m.check(); err != nil {
		return err
	}
	for {
		var l *link
		if err := c.wait(ctx, func() bool { l = c.out; return l != nil && l.alive() }); err != nil {
			c.count.failed.Add(1)
			return err
		}
		err := l.publish(ctx, &m)
		switch {
		case err == nil:
			c.count.published.Add(1)
			return nil
		case m.Once:
			c.count.failed.Add(1)
			return fault(CodeUncertain, err, "the link to broker %s broke; it is not known whether the message arrived", c.o.Addr)
		case errors.Is(err, errOnItsWay):
			c.count.failed.Add(1)
			return fault(CodeUncertain, err, "broker %s did not take the message in time; it is not known whether it arrives", c.o.Addr)
		case ctx.Err() != nil:
			c.count.failed.Add(1)
			return fault(CodeUnreachable, err, "broker %s did not take the message in time", c.o.Addr)
		}
	}
}

// Subscribe keeps destination subscribed until Close or the end of Run, over
// every reconnect. h is called on a goroutine of this subscription, one
// delivery at a time, and may take as long as it likes: heart-beats go on. It
// may be called before Run. A destination that cannot be is told by Err.
func (c *Conn) Subscribe(destination string, o SubscribeOptions, h func(context.Context, *Delivery)) *Subscription {
	s := &Subscription{conn: c, destination: destination, o: o, handle: h, ready: make(chan struct{})}
	s.inbox.wake = make(chan struct{}, 1)
	s.err = CheckDestination(destination)
	if s.err == nil {
		s.err = checkHeaders(o.Headers)
	}
	if _, bad := o.Headers["reply-to"]; bad && s.err == nil {
		s.err = fault(CodeInvalidMessage, nil, "reply-to cannot be a header of SUBSCRIBE")
	}
	if s.err != nil {
		c.o.Log.Error("cannot subscribe", "error", s.err)
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == ended {
		return s
	}
	c.subs = append(c.subs, s)
	if c.state == running {
		c.work(s)
	}
	if c.in != nil {
		_ = c.in.subscribe(s) // if that fails the next link has it
	}
	return s
}

// forget takes s off the list and off the link.
func (c *Conn) forget(s *Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subs = slices.DeleteFunc(c.subs, func(x *Subscription) bool { return x == s })
	if c.in != nil {
		c.in.unsubscribe(s)
	}
}
