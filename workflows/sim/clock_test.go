package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTicksAreExactDecimals(t *testing.T) {
	var got []string
	err := New(Options{}).Run(t.Context(), func(ctx context.Context, c *Clock) error {
		for _, s := range []float64{5, 0.1, 1, 5, 2, 0.1, 1, 0.1, 0.1, 2, 0.1, 0.1, 2} {
			if err := c.Sleep(ctx, s); err != nil {
				return err
			}
			b, err := json.Marshal(c.Now())
			if err != nil {
				return err
			}
			got = append(got, string(b))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "5 5.1 6.1 11.1 13.1 13.2 14.2 14.3 14.4 16.4 16.5 16.6 18.6"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("ticks\n%s, want\n%s", s, want)
	}
}

func TestTicksDoNotDrift(t *testing.T) {
	c := New(Options{})
	err := c.Run(t.Context(), func(ctx context.Context, c *Clock) error {
		for range 100_000 {
			if err := c.Sleep(ctx, 0.1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || c.Now() != 10_000 {
		t.Errorf("after 100,000 times 0.1 s it is %v, err %v", c.Now(), err)
	}
}

func TestProcessesInterleaveInOrderOfTimeThenArrival(t *testing.T) {
	var got []string
	every := func(name string, pause float64, n int) Process {
		return func(ctx context.Context, c *Clock) error {
			for range n {
				if err := c.Sleep(ctx, pause); err != nil {
					return err
				}
				got = append(got, fmt.Sprint(name, c.Now()))
			}
			return nil
		}
	}
	spawn := func(ctx context.Context, c *Clock) error {
		c.Go(ctx, every("c", 1, 2))
		return c.Sleep(ctx, 10)
	}
	for range 20 {
		got = nil
		if err := New(Options{}).Run(t.Context(), every("a", 1, 3), every("b", 1.5, 2), spawn); err != nil {
			t.Fatal(err)
		}
		want := []string{"a1", "c1", "b1.5", "a2", "c2", "b3", "a3"}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func TestRealtimeIsPacedWithoutDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		err := New(Options{Realtime: true}).Run(t.Context(), func(ctx context.Context, c *Clock) error {
			for i := range 10 {
				if i == 3 {
					time.Sleep(700 * time.Millisecond) // work that takes its time is caught up with
				}
				if err := c.Sleep(ctx, 2.2); err != nil {
					return err
				}
				if wall := time.Since(begin).Seconds(); math.Abs(wall-c.Now()) > 1e-9 {
					t.Errorf("tick %v at %v s of the wall clock", c.Now(), wall)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestEndOfContextWakesEverySleeperAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("stopped by hand")
		ctx, cancel := context.WithCancelCause(t.Context())
		begin := time.Now()
		time.AfterFunc(1500*time.Millisecond, func() { cancel(stop) })
		woken := 0
		sleeper := func(ctx context.Context, c *Clock) error {
			err := c.Sleep(ctx, 3600)
			woken++
			if c.Now() != 1.5 {
				t.Errorf("woken at tick %v", c.Now())
			}
			if again := c.Sleep(ctx, 1); !errors.Is(again, stop) {
				t.Errorf("a second sleep: %v", again)
			}
			return err
		}
		err := New(Options{Realtime: true}).Run(ctx, sleeper, sleeper, sleeper)
		if !errors.Is(err, stop) || woken != 3 || time.Since(begin) != 1500*time.Millisecond {
			t.Errorf("err %v, %d woken after %v", err, woken, time.Since(begin))
		}
	})
}

func TestEndOfOneSleepersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := New(Options{Realtime: true}).Run(t.Context(),
			func(ctx context.Context, c *Clock) error {
				short, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				if err := c.Sleep(short, 10); !errors.Is(err, context.DeadlineExceeded) || c.Now() != 1 {
					t.Errorf("err %v at tick %v", err, c.Now())
				}
				return c.Sleep(ctx, 0.5)
			},
			func(ctx context.Context, c *Clock) error {
				err := c.Sleep(ctx, 3)
				if c.Now() != 3 {
					t.Errorf("the other one woke at %v", c.Now())
				}
				return err
			})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestEndOfOneSleepersContextInVirtualTime(t *testing.T) {
	over := errors.New("over")
	err := New(Options{}).Run(t.Context(),
		func(ctx context.Context, c *Clock) error {
			own, cancel := context.WithCancelCause(ctx)
			c.Go(ctx, func(ctx context.Context, c *Clock) error {
				defer cancel(over)
				return c.Sleep(ctx, 1)
			})
			if err := c.Sleep(own, 10); !errors.Is(err, over) || c.Now() != 10 {
				t.Errorf("err %v at tick %v", err, c.Now())
			}
			return c.Sleep(ctx, 1)
		})
	if err != nil {
		t.Error(err)
	}
}

func TestSeveralSleepersGiveUpInTheOrderOfTheirTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		err := New(Options{Realtime: true}).Run(t.Context(), func(ctx context.Context, c *Clock) error {
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			for _, seconds := range []float64{30, 10, 20} {
				c.Go(ctx, func(_ context.Context, c *Clock) error {
					if err := c.Sleep(short, seconds); !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					got = append(got, fmt.Sprint(seconds, " at ", c.Now()))
					return nil
				})
			}
			return c.Sleep(ctx, 2)
		})
		want := []string{"10 at 1", "20 at 1", "30 at 1"}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v; err %v", got, want, err)
		}
	})
}

func TestLimit(t *testing.T) {
	for _, realtime := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := New(Options{Realtime: realtime, Limit: 7.5})
			other := 0
			err := c.Run(t.Context(),
				func(ctx context.Context, c *Clock) error {
					for {
						if err := c.Sleep(ctx, 2); err != nil {
							return err
						}
					}
				},
				func(ctx context.Context, c *Clock) error {
					err := c.Sleep(ctx, 100)
					other++
					return err
				})
			if !errors.Is(err, ErrLimit) || c.Now() != 7.5 || other != 1 {
				t.Errorf("realtime %v: err %v at tick %v, other woken %d times", realtime, err, c.Now(), other)
			}
		})
	}
}

func TestErrorOfOneEndsAll(t *testing.T) {
	bad := errors.New("bad")
	var seen error
	err := New(Options{}).Run(t.Context(),
		func(ctx context.Context, c *Clock) error { seen = c.Sleep(ctx, 50); return nil },
		func(ctx context.Context, c *Clock) error {
			if err := c.Sleep(ctx, 1); err != nil {
				return err
			}
			return bad
		})
	if !errors.Is(err, bad) || !errors.Is(seen, bad) {
		t.Errorf("Run: %v, the other sleeper: %v", err, seen)
	}
}

func TestSleepRefusesWhatIsNoDuration(t *testing.T) {
	err := New(Options{}).Run(t.Context(), func(ctx context.Context, c *Clock) error {
		for _, s := range []float64{-1, math.NaN(), math.Inf(1), math.Inf(-1), 1e13} {
			if err := c.Sleep(ctx, s); !errors.Is(err, ErrDuration) {
				t.Errorf("Sleep(%v) = %v", s, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestEndedContextStartsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := New(Options{}).Run(ctx, func(context.Context, *Clock) error {
		t.Error("the process ran")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}
