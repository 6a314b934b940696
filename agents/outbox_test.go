package agents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

var errDown = swf.E(swf.CodeMonitorUnavailable, "down", "wait")

// inOutbox runs f beside a running outbox, on a clock of its own.
func inOutbox(t *testing.T, f func(t *testing.T, o *Outbox)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		o := NewOutbox("", slog.New(slog.DiscardHandler))
		done := make(chan struct{})
		go func() { defer close(done); o.Run(ctx) }()
		f(t, o)
		cancel()
		<-done
	})
}

func TestOutboxKeepsTheOrderOverAnOutage(t *testing.T) {
	inOutbox(t, func(t *testing.T, o *Outbox) {
		var got []int
		upAt := time.Now().Add(time.Minute)
		for n := range 5 {
			o.Do(fmt.Sprint(n), func(context.Context) error {
				if time.Now().Before(upAt) {
					return errDown
				}
				got = append(got, n)
				return nil
			})
		}
		if !o.Wait(t.Context(), o.Do("skip", func(context.Context) error { return nil })) {
			for o.Len() > 0 { // Wait gave up: the monitor is down
				time.Sleep(time.Second)
			}
		}
		synctest.Wait()
		if !reflect.DeepEqual(got, []int{0, 1, 2, 3, 4}) || time.Since(upAt) > 20*time.Second {
			t.Errorf("told %v, %v after the monitor's return", got, time.Since(upAt))
		}
	})
}

func TestOutboxGivesUpWhatIsRefused(t *testing.T) {
	for _, tc := range []struct {
		err         error
		least, most int // tries
	}{
		{&monitor.StatusError{Status: 400}, 1, 1},
		{errors.New("a bug"), 1, 1},
		{&monitor.StatusError{Status: 500}, serverTries + 1, serverTries + 1},
		{later{&monitor.StatusError{Status: 400}}, 40, 60}, // ten minutes of them
	} {
		inOutbox(t, func(t *testing.T, o *Outbox) {
			tries, next := 0, false
			o.Do("bad", func(context.Context) error { tries++; return tc.err })
			o.Do("good", func(context.Context) error { next = true; return nil })
			for o.Len() > 0 {
				time.Sleep(time.Second)
			}
			if tries < tc.least || tries > tc.most || !next {
				t.Errorf("%v: %d tries, the next call made: %v", tc.err, tries, next)
			}
		})
	}
}

// What may be the monitor's trouble, not that of what it is told, is repeated for
// as long as it takes.
func TestOutboxWaitsForAMonitorInTrouble(t *testing.T) {
	for _, tc := range []struct {
		err   error
		alive bool // the monitor takes heartbeats
	}{
		{errDown, true}, {errDown, false}, {context.DeadlineExceeded, true},
		{&monitor.StatusError{Status: 502}, true}, {&monitor.StatusError{Status: 503}, true}, {&monitor.StatusError{Status: 429}, true},
		{&monitor.StatusError{Status: 403}, true}, // a token that is being changed
		{&monitor.StatusError{Status: 500}, false},
	} {
		inOutbox(t, func(t *testing.T, o *Outbox) {
			o.alive = func() bool { return tc.alive }
			begin, told := time.Now(), false
			o.Do("call", func(context.Context) error {
				if time.Since(begin) < 24*time.Hour {
					return tc.err
				}
				told = true
				return nil
			})
			for o.Len() > 0 {
				time.Sleep(time.Minute)
			}
			if !told {
				t.Errorf("%v, alive %v: given up after %v", tc.err, tc.alive, time.Since(begin))
			}
		})
	}
}

func TestWaitAndSettleDoNotWaitForADeadMonitor(t *testing.T) {
	inOutbox(t, func(t *testing.T, o *Outbox) {
		down := true
		call := o.Do("call", func(context.Context) error {
			if down {
				return errDown
			}
			return nil
		})
		begin := time.Now()
		if o.Wait(t.Context(), call) || o.Settle(t.Context()) || time.Since(begin) > 0 {
			t.Errorf("waited %v for a monitor that is down", time.Since(begin))
		}
		synctest.Wait()
		down = false
		if !o.Settle(t.Context()) || time.Since(begin) > 0 || o.Len() != 0 {
			t.Errorf("settling took %v, %d left", time.Since(begin), o.Len())
		}
	})
}

func TestSettleGivesUpWithItsContext(t *testing.T) {
	inOutbox(t, func(t *testing.T, o *Outbox) {
		o.Do("slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if o.Settle(ctx) || time.Since(begin) != time.Second {
			t.Errorf("settled, or gave up after %v", time.Since(begin))
		}
	})
}

func TestOutboxIsBounded(t *testing.T) {
	o := NewOutbox("", slog.New(slog.DiscardHandler)) // nobody runs it
	for n := range outboxSize + 5 {
		told := o.Do("call", func(context.Context) error { return nil })
		if n >= outboxSize && !told.done {
			t.Fatal("a call beyond the limit waits")
		}
	}
	if o.Len() != outboxSize {
		t.Errorf("%d calls wait", o.Len())
	}
}
