package sim

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
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
type Clock struct {
	o     Options
	now   atomic.Int64 // microseconds of simulated time
	limit int64
	epoch time.Time // the wall clock's time at simulated zero

	queue     events
	seq       int
	live      int             // processes that have not returned
	turn      chan struct{}   // the running process gives the turn back
	interrupt chan *event     // sleepers whose own context ended
	err       error           // the first error of a process
	ended     <-chan struct{} // closed once the simulation ends, whatever ends it
}

// event is one sleeping process.
type event struct {
	at    int64
	seq   int // order of arrival: equal times wake in this order
	index int // place in the queue, -1 when out of it
	wake  chan error
}

// New returns a clock that stands at zero.
func New(o Options) *Clock {
	c := &Clock{o: o, limit: math.MaxInt64, turn: make(chan struct{}), interrupt: make(chan *event)}
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
	c.epoch, c.ended = time.Now(), ctx.Done()
	for _, p := range processes {
		c.start(ctx, p)
	}
	var ended error
	for c.live > 0 {
		if ended == nil && c.err != nil {
			ended = c.err
			cancel(ended)
		}
		e, err := c.next(ctx, ended)
		if ended == nil && err != nil && ctx.Err() != nil {
			ended = err
		}
		if ended == nil && errors.Is(err, ErrLimit) {
			ended = err
			cancel(err)
		}
		e.wake <- err
		<-c.turn
	}
	if ended == nil {
		ended = c.err
	}
	return ended
}

// Go starts another process at the present time. It runs for the first time
// when the caller sleeps or returns.
func (c *Clock) Go(ctx context.Context, p Process) { c.start(ctx, p) }

// Sleep lets simulated time pass. It returns early with the cause of ctx's end
// or with what ended the simulation, then without any time having passed in
// virtual mode, and with the time that did pass in real time.
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
	e := c.schedule(after)
	c.turn <- struct{}{}
	select {
	case err := <-e.wake:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-e.wake:
		return err
	case c.interrupt <- e:
	}
	if err := <-e.wake; err != nil {
		return err
	}
	return context.Cause(ctx)
}

// passes lets the time pass at once, without giving the turn back, where the
// turn would come straight back: in virtual time, when nobody else is to wake
// before the caller or with it.
func (c *Clock) passes(after int64) bool {
	at := c.now.Load() + after
	if c.o.Realtime || at >= c.limit || c.err != nil || len(c.queue) > 0 && c.queue[0].at <= at {
		return false
	}
	select {
	case <-c.ended:
		return false // the turn brings the reason
	default:
		c.now.Store(at)
		return true
	}
}

func (c *Clock) start(ctx context.Context, p Process) {
	e := c.schedule(0)
	c.live++
	go func() {
		err := <-e.wake
		defer func() {
			c.live--
			if c.err == nil {
				c.err = err
			}
			c.turn <- struct{}{}
		}()
		if err == nil {
			err = p(ctx, c)
		}
	}()
}

func (c *Clock) schedule(after int64) *event {
	at := c.now.Load() + after
	if at > c.limit {
		at = c.limit
	}
	e := &event{at: at, seq: c.seq, wake: make(chan error)}
	c.seq++
	heap.Push(&c.queue, e)
	return e
}

// next takes the sleeper whose turn it is out of the queue and says with which
// error to wake it. ended, if not nil, wakes everybody.
func (c *Clock) next(ctx context.Context, ended error) (*event, error) {
	e := c.queue[0]
	switch {
	case ended != nil:
		return c.take(e), ended
	case ctx.Err() != nil:
		return c.take(e), context.Cause(ctx)
	}
	early, err := c.pace(ctx, e)
	switch {
	case early != nil:
		return c.take(early), nil // its own context says why
	case err != nil:
		return c.take(e), err
	}
	c.now.Store(e.at)
	if e.at >= c.limit {
		return c.take(e), ErrLimit
	}
	return c.take(e), nil
}

// pace waits until e is due on the wall clock. It returns the sleeper that
// gave up meanwhile, or the cause of ctx's end; simulated time then stands
// where the wall clock has come to.
func (c *Clock) pace(ctx context.Context, e *event) (*event, error) {
	if !c.o.Realtime {
		return nil, nil
	}
	wait := time.Duration(e.at)*time.Microsecond - time.Since(c.epoch)
	if wait <= 0 {
		return nil, nil // late: the sleeper is not made to wait for it
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil, nil
	case early := <-c.interrupt:
		c.catchUp(e.at)
		return early, nil
	case <-ctx.Done():
		c.catchUp(e.at)
		return nil, context.Cause(ctx)
	}
}

func (c *Clock) catchUp(most int64) {
	t := min(time.Since(c.epoch).Microseconds(), most)
	if t > c.now.Load() {
		c.now.Store(t)
	}
}

func (c *Clock) take(e *event) *event {
	heap.Remove(&c.queue, e.index)
	return e
}
