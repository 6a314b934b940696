package agents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// Limits of an outbox.
const (
	outboxSize  = 10_000
	serverTries = 5 // for one call that the monitor answers with a 5xx, or that comes too early
)

// Outbox makes calls to the monitor one after the other on a goroutine of its
// own, so that nobody who works has to wait for the monitor. A call that finds
// no monitor is repeated until it does; a call that the monitor refuses is
// logged and given up. Safe for concurrent use.
type Outbox struct {
	log   *slog.Logger
	hurry chan struct{} // cuts a back-off short

	mu      sync.Mutex
	items   []*Told
	changed chan struct{} // closed and replaced whenever the fields below change
	failing bool          // the last attempt found no monitor
	dropped int
}

// Told is one call in an Outbox.
type Told struct {
	what string
	call func(context.Context) error
	done bool
	err  error
}

// NewOutbox returns an empty outbox; its calls are made while Run runs.
func NewOutbox(log *slog.Logger) *Outbox {
	return &Outbox{log: log, hurry: make(chan struct{}, 1), changed: make(chan struct{})}
}

// Add queues a call; what names it in logs. The call must be harmless when
// repeated. Beyond 10,000 waiting calls it is dropped, counted and logged.
func (o *Outbox) Add(what string, call func(context.Context) error) *Told {
	t := &Told{what: what, call: call}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.items) >= outboxSize {
		t.done, t.err = true, errors.New("the outbox is full")
		if o.dropped++; o.dropped == 1 {
			o.log.Error("too much waits for the monitor; further calls are dropped until it answers", "waiting", len(o.items))
		}
		return t
	}
	o.items = append(o.items, t)
	o.broadcast()
	return t
}

// Len returns how many calls wait.
func (o *Outbox) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items)
}

// Wait waits until the call has been made, and reports whether it has. It
// gives up when ctx ends, and at once while the monitor does not answer.
func (o *Outbox) Wait(ctx context.Context, t *Told) bool {
	for {
		o.mu.Lock()
		done, failing, changed := t.done, o.failing, o.changed
		o.mu.Unlock()
		if done || failing {
			return done
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// Room waits while at least that many calls wait already, until ctx ends: who
// works faster than the monitor takes calls is not to lose any.
func (o *Outbox) Room(ctx context.Context, most int) {
	for {
		o.mu.Lock()
		n, changed := len(o.items), o.changed
		o.mu.Unlock()
		if n < most {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// Settle waits until every call added so far has been made, and reports
// whether it has. Where the monitor did not answer before, it is tried once
// more at once.
func (o *Outbox) Settle(ctx context.Context) bool {
	o.mu.Lock()
	if len(o.items) == 0 {
		o.mu.Unlock()
		return true
	}
	last := o.items[len(o.items)-1]
	if o.failing {
		o.failing = false
		select {
		case o.hurry <- struct{}{}:
		default:
		}
	}
	o.mu.Unlock()
	return o.Wait(ctx, last)
}

// Run makes the calls until ctx ends.
func (o *Outbox) Run(ctx context.Context) {
	for {
		t, ok := o.head(ctx)
		if !ok {
			return
		}
		err := o.make(ctx, t)
		if ctx.Err() != nil && err != nil {
			return
		}
		o.finish(t, err)
	}
}

// head waits for the next call.
func (o *Outbox) head(ctx context.Context) (*Told, bool) {
	for {
		o.mu.Lock()
		changed := o.changed
		if len(o.items) > 0 {
			t := o.items[0]
			o.mu.Unlock()
			return t, ctx.Err() == nil
		}
		o.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false
		}
	}
}

// make repeats one call until the monitor has answered it.
func (o *Outbox) make(ctx context.Context, t *Told) error {
	for n := 0; ; n++ {
		once, cancel := context.WithTimeout(ctx, callTimeout)
		err := t.call(once)
		cancel()
		if err == nil || !passing(err, n) || ctx.Err() != nil {
			return err
		}
		o.trouble(t, err)
		timer := time.NewTimer(backoff(n))
		select {
		case <-timer.C:
		case <-o.hurry:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// passing reports whether an error is worth another attempt.
func passing(err error, n int) bool {
	var status *monitor.StatusError
	if errors.As(err, &status) && !errors.As(err, new(later)) {
		again := status.Status >= 500 || status.Status == http.StatusTooManyRequests || status.Status == http.StatusRequestTimeout
		return again && n < serverTries
	}
	if errors.As(err, new(later)) {
		return n < serverTries
	}
	return swf.IsCode(err, swf.CodeMonitorUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// trouble notes that an attempt found no monitor, and says so once.
func (o *Outbox) trouble(t *Told, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.failing {
		o.log.Warn("the monitor does not answer; what it must hear waits", "call", t.what, "err", err)
	}
	o.failing = true
	o.broadcast()
}

func (o *Outbox) finish(t *Told, err error) {
	o.mu.Lock()
	t.done, t.err = true, err
	o.items[0] = nil
	o.items = o.items[1:]
	o.failing = false
	dropped := 0
	if len(o.items) == 0 {
		dropped, o.dropped = o.dropped, 0
	}
	o.broadcast()
	o.mu.Unlock()
	if err != nil {
		o.log.Error("the monitor did not take this", "call", t.what, "err", detail(err))
	}
	if dropped > 0 {
		o.log.Error("calls to the monitor were dropped while it did not answer", "dropped", dropped)
	}
}

func (o *Outbox) broadcast() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// later is an error that passes when somebody else has done his part.
type later struct{ error }

func (e later) Unwrap() error { return e.error }

// detail tells what a refusal said, which its Error method may shorten.
func detail(err error) string {
	var status *monitor.StatusError
	if errors.As(err, &status) {
		return fmt.Sprintf("%d %.300s", status.Status, status.Body)
	}
	return err.Error()
}
