package sim

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"sync/atomic"
	"time"
)

// ErrLimit is what Sleep and Run return once the simulated time limit of the
// clock is reached.
var ErrLimit = errors.New("the limit of simulated time is reached")

// ErrDuration is wrapped by the error of a Sleep whose seconds are no time:
// negative, infinite, not a number, or beyond 10^12.
var ErrDuration = errors.New("not a duration")

// Process is one actor of a simulation. It must wait for simulated time with
// Sleep alone, and return when Sleep returns an error.
type Process func(ctx context.Context, c *Clock) error

// Options say how a Clock runs. The zero value is virtual time without limit.
type Options struct {
	Realtime bool    // one simulated second lasts one second of the wall clock
	Limit    float64 // seconds of simulated time after which Run ends with ErrLimit; 0 is none
}

// Clock is one simulation. Run may be called once. Now may be called from
// anywhere, Sleep and Go from the clock's own processes alone.
//
// Processes are coroutines of the goroutine that called Run: each has a stack
// of its own, one of them runs at a time, and the turn passes without Go's
// scheduler.
type Clock struct {
	o     Options
	now   atomic.Int64 // microseconds of simulated time
	limit int64
	epoch time.Time // the wall clock's time at simulated zero

	queue   events
	seq     int
	running *event          // whose turn it is
	gaveUp  chan struct{}   // in real time: the context of some sleeper ended
	ctx     context.Context // of the whole simulation
	err     error           // what ended it: the first error of a process, the limit, or its context's cause
}

// event is one process: when it is to wake, and how to let it.
type event struct {
	at    int64
	seq   int // order of arrival: equal times wake in this order
	ctx   context.Context
	err   error                   // with which it wakes
	wake  func() (struct{}, bool) // lets it run until it sleeps again or returns
	sleep func(struct{}) bool     // gives the turn back
}

// New returns a clock that stands at zero.
func New(o Options) *Clock {
	c := &Clock{o: o, limit: math.MaxInt64, gaveUp: make(chan struct{}, 1)}
	if o.Limit > 0 {
		c.limit = int64(math.Min(math.Round(o.Limit*1e6), math.MaxInt64/2))
	}
	return c
}

// Now returns the simulated seconds since the start. The value is the float64
// nearest to a whole number of microseconds, so it prints as that decimal.
func (c *Clock) Now() float64 { return float64(c.now.Load()) / 1e6 }

// Run starts the processes at time zero, in the order given, and returns when
// all have returned: nil, the first error of one of them, ErrLimit, or the
// cause of ctx's end. Whatever ends it, every sleeper is woken with that
// error, and no goroutine is left.
func (c *Clock) Run(ctx context.Context, processes ...Process) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.epoch, c.ctx = time.Now(), ctx
	for _, p := range processes {
		c.start(ctx, p)
	}
	for len(c.queue) > 0 {
		e := c.next()
		if c.err != nil {
			cancel(c.err)
		}
		c.running, e.err = e, c.err
		e.wake()
	}
	return c.err
}

// Go starts another process at the present time. It runs for the first time
// when the caller sleeps or returns.
func (c *Clock) Go(ctx context.Context, p Process) { c.start(ctx, p) }

// Sleep lets simulated time pass. It returns early with what ended the
// simulation, and with the cause of ctx's end: in real time at once, with the
// time that did pass, in virtual time when the sleeper's turn comes.
func (c *Clock) Sleep(ctx context.Context, seconds float64) error {
	if !(seconds >= 0 && seconds <= 1e12) {
		return fmt.Errorf("sleep for %v seconds: %w", seconds, ErrDuration)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	after := int64(math.Round(seconds * 1e6))
	if c.passes(after) {
		return nil
	}
	e := c.running
	e.ctx = ctx
	c.schedule(e, after)
	if c.o.Realtime {
		defer context.AfterFunc(ctx, c.giveUp)()
	}
	e.sleep(struct{}{})
	if e.err == nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return e.err
}

// giveUp has pace look for sleepers whose context ended.
func (c *Clock) giveUp() {
	select {
	case c.gaveUp <- struct{}{}:
	default:
	}
}

// passes lets the time pass at once, without giving the turn back, where the
// turn would come straight back: in virtual time, when nobody else is to wake
// before the caller or with it.
func (c *Clock) passes(after int64) bool {
	at := c.now.Load() + after
	if c.o.Realtime || at >= c.limit || len(c.queue) > 0 && c.queue[0].at <= at || c.ctx.Err() != nil {
		return false
	}
	c.now.Store(at)
	return true
}

func (c *Clock) start(ctx context.Context, p Process) {
	e := &event{ctx: ctx}
	e.wake, _ = iter.Pull(func(sleep func(struct{}) bool) {
		e.sleep = sleep
		err := e.err
		if err == nil {
			err = p(ctx, c)
		}
		if c.err == nil {
			c.err = err
		}
	})
	c.schedule(e, 0)
}

func (c *Clock) schedule(e *event, after int64) {
	e.at, e.seq = min(c.now.Load()+after, c.limit), c.seq
	c.seq++
	heap.Push(&c.queue, e)
}

// next takes the sleeper whose turn it is out of the queue, having let simulated
// time pass until then. Once the simulation is over it is everybody's turn.
func (c *Clock) next() *event {
	i := 0
	if c.err == nil {
		i = c.pace()
	}
	return heap.Remove(&c.queue, i).(*event)
}

// pace waits until the next sleeper is due, on the wall clock where that counts,
// and returns its place in the queue; in another place is one that gave up.
func (c *Clock) pace() int {
	due := c.queue[0].at
	for c.o.Realtime && c.ctx.Err() == nil {
		wait := time.Duration(due)*time.Microsecond - time.Since(c.epoch)
		if wait <= 0 {
			break // late: nobody is made to wait for it
		}
		if i := c.queue.ended(); i >= 0 {
			c.catchUp(due)
			return i
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.gaveUp:
		case <-c.ctx.Done():
			c.catchUp(due)
		}
		timer.Stop()
	}
	switch {
	case c.ctx.Err() != nil:
		c.err = context.Cause(c.ctx)
		return 0
	case due >= c.limit:
		c.err = ErrLimit
	}
	c.now.Store(due)
	return 0
}

func (c *Clock) catchUp(most int64) {
	c.now.Store(max(c.now.Load(), min(time.Since(c.epoch).Microseconds(), most)))
}
