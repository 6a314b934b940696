package manager

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/epic-swf/testbed/control"
)

// Why a job's context ended.
var (
	errOvertaken = errors.New("a stop overtook it")
	errLeaving   = errors.New("the manager is shutting down")
	errPaused    = errors.New("the manager was paused for too long")
)

// job is one command that holds, or waits for, the executor.
type job struct {
	id    string
	verb  control.Verb
	since time.Time
	run   func(context.Context)

	released bool
	ctx      context.Context // from its turn on
	cancel   context.CancelCauseFunc
}

// executor runs one job at a time: supervisord has one writer. Only stops
// wait; anything else that finds it taken is turned away (design, rule 5).
// Safe for concurrent use.
type executor struct {
	mu      sync.Mutex
	current *job
	busy    *job      // as current, but until its run has returned
	moved   time.Time // when busy began, or last showed that it waits for a reason
	waiting []*job
	wake    chan struct{}
}

// maxWaiting bounds the stops in line; each further one is the same stop.
const maxWaiting = 16

func newExecutor() *executor { return &executor{wake: make(chan struct{}, 1)} }

// Offer takes the job in and returns nil, or returns the job that is in its
// way. The job does not begin before Release, so that it can be journaled
// first.
func (e *executor) Offer(j *job) (holder *job) {
	e.mu.Lock()
	defer e.mu.Unlock()
	holder = e.current
	if holder == nil && len(e.waiting) > 0 {
		holder = e.waiting[0]
	}
	if holder != nil && (j.verb != control.StopTestbed || len(e.waiting) >= maxWaiting) {
		return holder
	}
	j.since = time.Now()
	e.waiting = append(e.waiting, j)
	return nil
}

// Enqueue lets a job in that an earlier manager had taken already.
func (e *executor) Enqueue(j *job) {
	e.mu.Lock()
	j.since = time.Now()
	e.waiting = append(e.waiting, j)
	e.mu.Unlock()
	e.Release(j)
}

// Withdraw takes back a job that was offered and could not be journaled.
func (e *executor) Withdraw(j *job) {
	e.mu.Lock()
	e.waiting = slices.DeleteFunc(e.waiting, func(w *job) bool { return w == j })
	e.mu.Unlock()
	e.rouse() // it may have been in front of others
}

// Release lets an offered job begin. A stop cancels a start that is under way.
func (e *executor) Release(j *job) {
	e.mu.Lock()
	j.released = true
	if j.verb == control.StopTestbed && e.current != nil && e.current.verb == control.StartTestbed {
		e.current.cancel(errOvertaken)
	}
	e.mu.Unlock()
	e.rouse()
}

func (e *executor) rouse() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Holder returns the job under way, or nil.
func (e *executor) Holder() *job {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current
}

// Free ends the turn of the job with that id, whose outcome is written: from
// then on it is in nobody's way.
func (e *executor) Free(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current != nil && e.current.id == id {
		e.current = nil
	}
}

// Run works until ctx ends: then a start is told to undo itself, a stop is
// finished, also one that waits, for it has begun when it is accepted. What
// else waits stays in the journal for the next manager.
func (e *executor) Run(ctx context.Context) {
	for {
		j := e.next()
		switch {
		case j == nil && ctx.Err() != nil:
			return
		case j == nil:
			select {
			case <-e.wake:
			case <-ctx.Done():
			}
		case ctx.Err() == nil || j.verb == control.StopTestbed:
			e.runOne(ctx, j)
		}
	}
}

// next gives the first job its turn, if it is released. A start that a stop
// waits for already is cancelled before its first step.
func (e *executor) next() *job {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) == 0 || !e.waiting[0].released {
		return nil
	}
	j := e.waiting[0]
	e.waiting = e.waiting[1:]
	e.current, e.busy, e.moved = j, j, time.Now()
	j.ctx, j.cancel = context.WithCancelCause(context.Background())
	for _, w := range e.waiting {
		if w.released && w.verb == control.StopTestbed && j.verb == control.StartTestbed {
			j.cancel(errOvertaken)
		}
	}
	return j
}

func (e *executor) runOne(ctx context.Context, j *job) {
	stop := context.AfterFunc(ctx, func() {
		if j.verb == control.StartTestbed {
			j.cancel(errLeaving)
		}
	})
	defer stop()
	defer j.cancel(nil)
	j.run(j.ctx)
	e.Free(j.id)
	e.mu.Lock()
	e.busy = nil
	e.mu.Unlock()
}

// Moves says that the job under way is alive although it does not end.
func (e *executor) Moves() {
	e.mu.Lock()
	e.moved = time.Now()
	e.mu.Unlock()
}

// Overdue returns the job that has run for longer than its bound, or nil.
func (e *executor) Overdue(bound func(control.Verb) time.Duration) (*job, time.Duration) {
	e.mu.Lock()
	j, moved := e.busy, e.moved
	e.mu.Unlock()
	if j == nil {
		return nil, 0
	}
	if b := bound(j.verb); time.Since(moved) > b {
		return j, b
	}
	return nil, 0
}
