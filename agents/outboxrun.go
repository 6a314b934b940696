package agents

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// Patience of an outbox with a monitor that answers.
const (
	serverTries = 5                // for one call that makes the monitor fail
	earlyTime   = 10 * time.Minute // for others to tell what a call builds on
	syncEvery   = time.Second      // what a power failure may take
)

// Run makes the calls until ctx ends: first those of events that an earlier
// process left in the file.
func (o *Outbox) Run(ctx context.Context) {
	o.open()
	defer o.shut()
	synced, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(synced)
		o.keepSynced(stop)
	}()
	defer func() { close(stop); <-synced }()
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

// open takes the file. What it holds goes before what was added meanwhile.
func (o *Outbox) open() {
	if o.file == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var left []*Told
	disk, bad, err := openSpool(o.file, func(l spoolLine, at spooled) {
		left = append(left, &Told{what: l.What, kind: l.Kind, at: at})
	})
	if err != nil {
		o.log.Error("what the monitor must hear cannot be kept on disk; it waits in memory", "file", o.file, "err", err)
		return
	}
	if bad > 0 {
		o.log.Error("a part of what an earlier process left for the monitor is damaged", "file", o.file, "lines", bad)
	}
	if len(left) > 0 {
		left[0].again = true // the only one that may have been under way
		o.log.Info("an earlier process left events for the monitor", "events", len(left))
	}
	o.disk = disk
	for _, t := range o.items {
		o.save(t)
	}
	o.items = append(left, o.items...)
	o.broadcast()
}

func (o *Outbox) shut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.disk == nil {
		return
	}
	if err := errors.Join(o.disk.sync(), o.disk.close()); err != nil {
		o.log.Warn("closing the outbox", "file", o.file, "err", err)
	}
	o.disk = nil
}

// keepSynced forces what was written onto the disk now and then.
func (o *Outbox) keepSynced(stop <-chan struct{}) {
	if o.file == "" {
		return
	}
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for last := uint64(0); ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		o.mu.Lock()
		var f *os.File
		if o.disk != nil && o.disk.next != last {
			last, f = o.disk.next, o.disk.f
		}
		o.mu.Unlock()
		if f != nil {
			_ = f.Sync() // one that was replaced or closed meanwhile was synced then
		}
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
	call, err := o.prepare(t)
	if err != nil {
		return err
	}
	for n, failures := 0, 0; ; n++ {
		once, cancel := context.WithTimeout(ctx, callTimeout)
		err := call(once)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if o.alive == nil || o.alive() {
			failures++
		}
		if !o.worthwhile(err, failures) {
			return err
		}
		t.again = true
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

// prepare finds the call of an item.
func (o *Outbox) prepare(t *Told) (func(context.Context) error, error) {
	if t.call != nil {
		return t.call, nil
	}
	data := t.data
	if t.at.n != 0 {
		o.mu.Lock()
		l, err := o.disk.read(t.at)
		o.mu.Unlock()
		if err != nil {
			return nil, fmt.Errorf("an event cannot be read from %s: %w", o.file, err)
		}
		data = l.Data
	}
	tell := o.kinds[t.kind]
	if tell == nil {
		return nil, fmt.Errorf("nobody here knows how to tell a %q", t.kind)
	}
	return func(ctx context.Context) error { return tell(ctx, data, t.again) }, nil
}

// worthwhile reports whether a call is to be repeated. failures counts its
// attempts while the monitor took other calls.
func (o *Outbox) worthwhile(err error, failures int) bool {
	if !errors.As(err, new(later)) {
		return passing(err, failures)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.early.IsZero() {
		o.early = time.Now()
	}
	return failures <= serverTries || time.Since(o.early) < earlyTime
}

// passing reports whether an error has to do with the monitor, not with what it
// was told. A monitor that is not there, or whose place something else holds,
// comes back; one that fails at a call and takes others will always fail at it.
func passing(err error, failures int) bool {
	var status *monitor.StatusError
	if !errors.As(err, &status) {
		return swf.IsCode(err, swf.CodeMonitorUnavailable) || errors.Is(err, context.DeadlineExceeded)
	}
	switch status.Status {
	case http.StatusUnauthorized, http.StatusForbidden: // our token is wrong, not what we tell
		return true
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests, http.StatusRequestTimeout:
		return true
	}
	return status.Status >= 500 && failures <= serverTries
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

// finish takes the first item off, here and on disk.
func (o *Outbox) finish(t *Told, err error) {
	o.mu.Lock()
	t.done, t.err, t.data = true, err, nil
	o.items[0] = nil
	o.items = o.items[1:]
	o.failing = false
	if err == nil {
		o.early = time.Time{}
	}
	dropped := 0
	if len(o.items) == 0 {
		dropped, o.dropped = o.dropped, 0
	}
	diskErr := o.forget(t)
	o.broadcast()
	o.mu.Unlock()
	if t.then != nil {
		t.then()
	}
	if err != nil {
		o.log.Error("the monitor did not take this", "call", t.what, "err", detail(err))
	}
	if dropped > 0 {
		o.log.Error("events were dropped while the monitor did not answer", "dropped", dropped)
	}
	if diskErr != nil { // after a restart it is told again, which does no harm
		o.log.Warn("the outbox could not note what was told", "file", o.file, "err", diskErr)
	}
}

// forget notes on disk that an event is done with.
func (o *Outbox) forget(t *Told) error {
	if t.at.n == 0 || o.disk == nil {
		return nil
	}
	for _, next := range o.items {
		if next.at.n != 0 {
			return o.disk.done(t.at, &next.at)
		}
	}
	return o.disk.done(t.at, nil)
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
