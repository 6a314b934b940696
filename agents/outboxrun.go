package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
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
	alone := 0 // so many of the first: together they were refused
	for {
		batch, ok := o.head(ctx, alone > 0)
		if !ok {
			return
		}
		err := o.make(ctx, batch)
		if ctx.Err() != nil && err != nil {
			return
		}
		if err != nil && len(batch) > 1 { // which of them it is shows when each is told alone
			alone = len(batch)
			continue
		}
		alone = max(alone-1, 0)
		o.finish(batch, err)
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
		for _, t := range o.together(left) {
			t.again = true // the only ones that may have been under way
		}
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

// head waits for the next call, and returns what it tells: one item, or several
// events that may be told together.
func (o *Outbox) head(ctx context.Context, alone bool) ([]*Told, bool) {
	for {
		o.mu.Lock()
		changed := o.changed
		if len(o.items) > 0 {
			batch := o.items[:1]
			if !alone {
				batch = o.together(o.items)
			}
			batch = slices.Clone(batch)
			o.mu.Unlock()
			return batch, ctx.Err() == nil
		}
		o.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false
		}
	}
}

// together are those of the first items that one call tells.
func (o *Outbox) together(items []*Told) []*Told {
	n, most := 1, o.kinds[items[0].kind].most
	for n < min(most, len(items)) && items[n].kind == items[0].kind {
		n++
	}
	return items[:n]
}

// make repeats one call until the monitor has answered it.
func (o *Outbox) make(ctx context.Context, batch []*Told) error {
	call, err := o.prepare(batch)
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
		for _, t := range batch {
			t.again = true
		}
		o.trouble(batch[0], err)
		timer := time.NewTimer(backoff(n))
		select {
		case <-timer.C:
		case <-o.hurry:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// prepare finds the call of what head returned.
func (o *Outbox) prepare(batch []*Told) (func(context.Context) error, error) {
	first := batch[0]
	if first.call != nil {
		return first.call, nil
	}
	kind, known := o.kinds[first.kind]
	if !known {
		return nil, fmt.Errorf("nobody here knows how to tell a %q", first.kind)
	}
	data := make([]json.RawMessage, len(batch))
	for i, t := range batch {
		if data[i] = t.data; t.data == nil {
			o.mu.Lock()
			l, err := o.disk.read(t.at)
			o.mu.Unlock()
			if err != nil {
				return nil, fmt.Errorf("an event cannot be read from %s: %w", o.file, err)
			}
			data[i] = l.Data
		}
	}
	return func(ctx context.Context) error {
		again := slices.ContainsFunc(batch, func(t *Told) bool { return t.again })
		return kind.tell(ctx, data, again)
	}, nil
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

// finish takes the first items off, here and on disk.
func (o *Outbox) finish(batch []*Told, err error) {
	o.mu.Lock()
	for i, t := range batch {
		t.done, t.err, t.data = true, err, nil
		o.items[i] = nil
	}
	o.items = o.items[len(batch):]
	o.failing = false
	if err == nil {
		o.early = time.Time{}
	}
	dropped := 0
	if len(o.items) == 0 {
		dropped, o.dropped = o.dropped, 0
	}
	diskErr := o.forget(batch)
	o.broadcast()
	o.mu.Unlock()
	for _, t := range batch {
		if t.then != nil {
			t.then()
		}
	}
	if err != nil {
		o.log.Error("the monitor did not take this", "call", batch[0].what, "err", detail(err))
	}
	if dropped > 0 {
		o.log.Error("events were dropped while the monitor did not answer", "dropped", dropped)
	}
	if diskErr != nil { // after a restart it is told again, which does no harm
		o.log.Warn("the outbox could not note what was told", "file", o.file, "err", diskErr)
	}
}

// forget notes on disk that events are done with.
func (o *Outbox) forget(batch []*Told) error {
	var last spooled
	for _, t := range batch {
		if t.at.n != 0 {
			last = t.at
		}
	}
	if last.n == 0 || o.disk == nil {
		return nil
	}
	for _, next := range o.items {
		if next.at.n != 0 {
			return o.disk.done(last, &next.at)
		}
	}
	return o.disk.done(last, nil)
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
