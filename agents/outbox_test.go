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
		o := NewOutbox(slog.New(slog.DiscardHandler))
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
			o.Add(fmt.Sprint(n), func(context.Context) error {
				if time.Now().Before(upAt) {
					return errDown
				}
				got = append(got, n)
				return nil
			})
		}
		if !o.Wait(t.Context(), o.Add("skip", func(context.Context) error { return nil })) {
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
		err   error
		tries int
	}{
		{&monitor.StatusError{Status: 400}, 1},
		{&monitor.StatusError{Status: 403}, 1},
		{errors.New("a bug"), 1},
		{&monitor.StatusError{Status: 500}, serverTries + 1},
		{&monitor.StatusError{Status: 429}, serverTries + 1},
	} {
		inOutbox(t, func(t *testing.T, o *Outbox) {
			tries, next := 0, false
			o.Add("bad", func(context.Context) error { tries++; return tc.err })
			o.Add("good", func(context.Context) error { next = true; return nil })
			for o.Len() > 0 {
				time.Sleep(time.Second)
			}
			if tries != tc.tries || !next {
				t.Errorf("%v: %d tries, the next call made: %v", tc.err, tries, next)
			}
		})
	}
}

func TestWaitAndSettleDoNotWaitForADeadMonitor(t *testing.T) {
	inOutbox(t, func(t *testing.T, o *Outbox) {
		down := true
		call := o.Add("call", func(context.Context) error {
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
		o.Add("slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if o.Settle(ctx) || time.Since(begin) != time.Second {
			t.Errorf("settled, or gave up after %v", time.Since(begin))
		}
	})
}

func TestOutboxIsBounded(t *testing.T) {
	o := NewOutbox(slog.New(slog.DiscardHandler)) // nobody runs it
	for n := range outboxSize + 5 {
		told := o.Add("call", func(context.Context) error { return nil })
		if n >= outboxSize && !told.done {
			t.Fatal("a call beyond the limit waits")
		}
	}
	if o.Len() != outboxSize {
		t.Errorf("%d calls wait", o.Len())
	}
}
