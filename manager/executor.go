package manager

import (
	"context"
	"errors"
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

	cancel context.CancelCauseFunc
}

// executor runs one job at a time: supervisord has one writer. Only stops
// wait; anything else that finds it taken is turned away (design, rule 5).
// Safe for concurrent use.
type executor struct {
	mu      sync.Mutex
	current *job
	waiting []*job
	wake    chan struct{}
}

// maxWaiting bounds the stops in line; each further one is the same stop.
const maxWaiting = 16

func newExecutor() *executor { return &executor{wake: make(chan struct{}, 1)} }

// Offer takes the job in and returns nil, or returns the job that is in its
// way. A stop cancels a start that is under way. The job does not begin before
// Release, so that it can be journaled first.
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
	defer e.mu.Unlock()
	for i, w := range e.waiting {
		if w == j {
			e.waiting = append(e.waiting[:i], e.waiting[i+1:]...)
			return
		}
	}
}

// Release lets an offered job begin.
func (e *executor) Release(j *job) {
	e.mu.Lock()
	if j.verb == control.StopTestbed && e.current != nil && e.current.verb == control.StartTestbed {
		e.current.cancel(errOvertaken)
	}
	e.mu.Unlock()
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

// Run works until ctx ends: then a start is told to undo itself, a stop is
// finished, and what waits stays in the journal for the next manager.
func (e *executor) Run(ctx context.Context) {
	for {
		j := e.next()
		if j == nil {
			select {
			case <-e.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		e.runOne(ctx, j)
	}
}

func (e *executor) next() *job {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) == 0 {
		return nil
	}
	j := e.waiting[0]
	e.waiting = e.waiting[1:]
	e.current = j
	return j
}

func (e *executor) runOne(ctx context.Context, j *job) {
	jctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	e.mu.Lock()
	j.cancel = cancel
	overtaken := false
	for _, w := range e.waiting {
		overtaken = overtaken || w.verb == control.StopTestbed
	}
	e.mu.Unlock()
	if overtaken && j.verb == control.StartTestbed {
		cancel(errOvertaken)
	}
	stop := context.AfterFunc(ctx, func() {
		if j.verb == control.StartTestbed {
			cancel(errLeaving)
		}
	})
	defer stop()
	defer cancel(nil)
	j.run(jctx)
	e.mu.Lock()
	e.current = nil
	e.mu.Unlock()
}
