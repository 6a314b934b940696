package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// How many calls may wait (design 4c.5), and how many log records, which stand
// in the program's own log file too.
const (
	outboxSize = 100_000
	logsSize   = 20_000
	atHand     = 1000 // events on disk that are in memory, too
)

// Outbox makes calls to the monitor one after the other on a goroutine of its
// own, so that nobody who works has to wait for the monitor. A call that finds
// no monitor is repeated until it does; a call that the monitor refuses is
// logged and given up. Safe for concurrent use.
//
// Events, added with Add, wait in a file and survive the program: the next one
// that is given the same file makes their calls first, in order. Calls that mean
// nothing to another process are added with Do. As a program may die between a
// call and its note of it, what Handle is given must be harmless when repeated.
// Events of one kind that wait behind each other may be told in one call, see
// HandleAll.
type Outbox struct {
	log   *slog.Logger
	file  string               // "": nothing survives
	kinds map[string]eventCall // complete before Run
	alive func() bool          // whether the monitor takes other calls; nil: it does
	most  int                  // calls that may wait
	hurry chan struct{}        // cuts a back-off short

	mu      sync.Mutex
	disk    *spool // nil: before and after Run, and when there is none
	unsaved bool   // said that the disk fails
	items   []*Told
	changed chan struct{} // closed and replaced whenever the fields below change
	failing bool          // the last attempt found no monitor
	dropped int           // since the monitor last had everything
	early   time.Time     // since when calls come too early; zero: they do not
}

// eventCall makes the call of up to most events. again says that it may have
// been made before.
type eventCall struct {
	most int
	tell func(ctx context.Context, data []json.RawMessage, again bool) error
}

// Told is one call in an Outbox.
type Told struct {
	what  string
	call  func(context.Context) error // of Do
	then  func()                      // of AddThen
	kind  string                      // of Add, as is:
	data  json.RawMessage             // nil where it is on disk alone
	at    spooled                     // n is 0 unless on disk
	again bool
	done  bool
	err   error
}

// NewOutbox returns an outbox; its calls are made while Run runs. Events wait in
// file, which is touched by Run alone; where file is "" they wait in memory.
func NewOutbox(file string, log *slog.Logger) *Outbox {
	return &Outbox{
		log: log, file: file, kinds: make(map[string]eventCall), most: outboxSize, hurry: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// Handle says how the events of a kind are told; again means that this one may
// have been told before, by this process or one before it. It is called before
// Run, for every kind that is ever added.
func Handle[T any](o *Outbox, kind string, tell func(ctx context.Context, event T, again bool) error) {
	HandleAll(o, kind, 1, func(ctx context.Context, events []T, again bool) error { return tell(ctx, events[0], again) })
}

// HandleAll is Handle for a kind of which up to most events that wait behind each
// other are told together. Where the monitor refuses that, each is told alone.
func HandleAll[T any](o *Outbox, kind string, most int, tell func(ctx context.Context, events []T, again bool) error) {
	o.kinds[kind] = eventCall{most, func(ctx context.Context, data []json.RawMessage, again bool) error {
		events := make([]T, len(data))
		for i, d := range data {
			if err := json.Unmarshal(d, &events[i]); err != nil {
				return fmt.Errorf("this event cannot be read: %w", err)
			}
		}
		return tell(ctx, events, again)
	}}
}

// Add queues an event, which must survive JSON; what names it in logs. Beyond
// 100,000 waiting calls it is dropped, counted and logged.
func (o *Outbox) Add(kind, what string, event any) *Told { return o.add(kind, what, event, nil) }

// AddThen is Add of an event that dies with this process, with something to be
// done when the monitor has taken or refused it: who keeps it until then may let
// it go. It is not done when the event is dropped or this process ends first.
func (o *Outbox) AddThen(kind, what string, event any, then func()) { o.add(kind, what, event, then) }

func (o *Outbox) add(kind, what string, event any, then func()) *Told {
	data, err := json.Marshal(event)
	if err != nil {
		o.log.Error("an event cannot be written", "event", what, "err", err)
		return &Told{what: what, done: true, err: err}
	}
	return o.put(&Told{what: what, kind: kind, data: data, then: then})
}

// Do queues a call that dies with this process. It must be harmless when
// repeated.
func (o *Outbox) Do(what string, call func(context.Context) error) *Told {
	return o.put(&Told{what: what, call: call})
}

func (o *Outbox) put(t *Told) *Told {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.items) >= o.most {
		t.done, t.err, t.data = true, errors.New("the outbox is full"), nil
		if o.dropped++; o.dropped == 1 {
			o.log.Error("too much waits for the monitor; what comes now is dropped until it answers", "waiting", len(o.items))
		}
		return t
	}
	o.save(t)
	o.items = append(o.items, t)
	o.broadcast()
	return t
}

// save puts an event on disk. One that the disk does not take waits in memory.
func (o *Outbox) save(t *Told) {
	if o.disk == nil || t.kind == "" || t.then != nil {
		return
	}
	at, err := o.disk.add(t.kind, t.what, t.data)
	switch {
	case err == nil:
		t.at, o.unsaved = at, false
		if len(o.items) >= atHand {
			t.data = nil
		}
	case !o.unsaved:
		o.unsaved = true
		o.log.Error("what the monitor must hear cannot be kept on disk; it waits in memory", "file", o.file, "err", err)
	}
}

// Len returns how many calls wait.
func (o *Outbox) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items)
}

// waiting tells what a heartbeat should: how much waits for a monitor that does
// not answer, and how much was dropped.
func (o *Outbox) waiting() (untold, dropped int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items), o.dropped
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
// works faster than the monitor takes calls is to keep its pace. A monitor that
// does not answer has none.
func (o *Outbox) Room(ctx context.Context, most int) {
	for {
		o.mu.Lock()
		n, failing, changed := len(o.items), o.failing, o.changed
		o.mu.Unlock()
		if n < most || failing {
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
	o.tryNow()
	o.mu.Unlock()
	return o.Wait(ctx, last)
}

// Hurry has the monitor tried at once where it did not answer before: somebody
// has seen it.
func (o *Outbox) Hurry() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tryNow()
}

func (o *Outbox) tryNow() {
	if !o.failing {
		return
	}
	o.failing = false
	select {
	case o.hurry <- struct{}{}:
	default:
	}
}

func (o *Outbox) broadcast() {
	close(o.changed)
	o.changed = make(chan struct{})
}
