package store_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
)

func testSequences(t *testing.T, open func(func() time.Time) *store.Store) {
	stores := []*store.Store{open(always(noon)), open(always(noon))}
	var mu sync.Mutex
	seen := map[int64]bool{}
	var wg sync.WaitGroup
	for _, s := range stores {
		for range 4 {
			wg.Go(func() {
				for range 25 {
					n, err := s.Next(t.Context(), store.AgentIDs)
					mu.Lock()
					if err != nil || seen[n] || n < 1 || n > 200 {
						t.Errorf("%d twice or out of order, %v", n, err)
					}
					seen[n] = true
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	if n, err := stores[0].Next(t.Context(), store.ExecutionIDs); n != 1 || err != nil {
		t.Errorf("another sequence: %d, %v", n, err)
	}
}

func testNamespaces(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	var made atomic.Int32
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			ns, created, err := s.EnsureNamespace(t.Context(), "n", fmt.Sprint("owner", i), "d")
			if err != nil || ns["name"] != "n" {
				t.Errorf("%v, %v", ns, err)
			}
			if created {
				made.Add(1)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
}

func testBeats(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	var wg sync.WaitGroup
	var created atomic.Int32
	for agent := range 4 {
		for process := range 4 {
			wg.Go(func() {
				for seq := range 10 {
					_, isNew, err := s.Beat(t.Context(), store.Beat{Instance: fmt.Sprint(process), Seq: int64(seq),
						Values: store.Record{"instance_name": fmt.Sprint(agent)}})
					if err != nil {
						t.Error(err)
					}
					if isNew {
						created.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	if created.Load() != 4 {
		t.Errorf("%d agents made", created.Load())
	}
	// Many restarts of one agent: the newest are remembered, and no more.
	for n := range 50 {
		if _, _, err := s.Beat(t.Context(), store.Beat{Instance: fmt.Sprintf("p%02d", n), Seq: 5, Values: store.Record{"instance_name": "r", "status": "OK"}}); err != nil {
			t.Fatal(err)
		}
	}
	late := store.Beat{Instance: "p48", Seq: 4, Values: store.Record{"instance_name": "r", "status": "LATE"}}
	if got, _, err := s.Beat(t.Context(), late); err != nil || got["status"] != "OK" {
		t.Errorf("a late one: %v, %v", got["status"], err)
	}
}

// testLease: while the monitor was down nobody could beat, so nobody is
// declared dead for that.
func testLease(t *testing.T, open func(func() time.Time) *store.Store) {
	beat(t, open(always(noon)), "a", "READY")
	now := noon.Add(time.Hour)
	s := open(func() time.Time { return now })
	for _, step := range []struct {
		after time.Duration
		state string
	}{{0, "READY"}, {store.StaleAfter - time.Second, "READY"}, {store.StaleAfter + time.Second, "EXITED"}} {
		now = noon.Add(time.Hour + step.after)
		if _, err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := state(t, s, "a"); got != step.state {
			t.Errorf("%v after the restart: %v, want %s", step.after, got, step.state)
		}
	}
}

func testPrune(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	if n, err := s.PruneLogs(t.Context(), 3); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	entry := rows()[2].record
	for range 10 {
		if _, err := s.Insert(t.Context(), store.Logs, entry); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.PruneLogs(t.Context(), 3); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := s.Get(t.Context(), store.Logs, "id", int64(7)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the oldest is there: %v", err)
	}
	sum, err := s.LogSummary(t.Context(), noon.Add(-2*time.Hour))
	if err != nil || len(sum.Counts) != 1 || sum.Counts[0].Count != 3 || len(sum.Recent) != 3 {
		t.Errorf("%+v, %v", sum, err)
	}
	if sum, err = s.LogSummary(t.Context(), noon); err != nil || len(sum.Counts) != 0 {
		t.Errorf("later: %+v, %v", sum, err)
	}
}
