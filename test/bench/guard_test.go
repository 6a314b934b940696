package bench

import (
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
)

// guarded is a cheap case that every run of the tests looks at. limit is how
// many times the floor's time it may take: several times what it does take, for
// a machine under load and the race detector, and no more than a slow-down that
// somebody would feel.
type guarded struct {
	name  string
	limit float64
	calls int // in one round
	// parts makes both; plant, which may be nil, runs once in each call of ours.
	parts func(t *testing.T, plant func()) (floor, ours func())
}

func guards() []guarded {
	return []guarded{
		{"tools/call over stdio, to an HTTP echo", 8, 40, func(t *testing.T, plant func()) (floor, ours func()) {
			return echoServer(t), newStack(t, plant).stdio(t)
		}},
		{"tools/call over HTTP, to an HTTP echo", 12, 40, func(t *testing.T, plant func()) (floor, ours func()) {
			return echoServer(t), newStack(t, plant).http(t)
		}},
		{"broker's round trip, to a TCP echo", 20, 100, func(t *testing.T, plant func()) (floor, ours func()) {
			return tcpEcho(t), brokerEcho(t, embedded(t), "client-individual", plant)
		}},
		{"check_agent_manager through broker and manager, to a bare request", 15, 40, func(t *testing.T, plant func()) (floor, ours func()) {
			addr := embedded(t)
			client := newManager(t, addr)
			check := checkTool(t, client)
			return bareRequest(t, addr, pongSize(t, client)), func() {
				if plant != nil {
					plant()
				}
				check()
			}
		}},
		{"500 messages recorded, to one INSERT", 6, 1, func(t *testing.T, plant func()) (floor, ours func()) {
			file := filepath.Join(t.TempDir(), "floor.db")
			openStore(t, store.Options{Path: file}).Close()
			insert := inserter(t, sqlite(t, file), false)
			each := plant
			if plant != nil { // once for the batch, as for all others
				n := 0
				each = func() {
					if n++; n%batch == 0 {
						plant()
					}
				}
			}
			record := newRecorder(t, openStore(t, store.Options{Path: filepath.Join(t.TempDir(), "ours.db")}), each)
			return func() { insert(1) }, func() { record(1) }
		}},
		{"1,000 simulated events, to a loop over the heap", 40, 5, func(t *testing.T, plant func()) (floor, ours func()) {
			return func() { overHeap(100, 1000) }, func() {
				if plant != nil {
					plant()
				}
				overClock(t, 100, 1000)
			}
		}},
	}
}

const (
	guardRounds = 5
	guardTries  = 3 // a slow-down is there each time, a disturbance is not
)

// ratio is ours to the floor: the least of the rounds of each, measured in
// turn, for nothing makes a round faster than it is. least is the floor's.
func ratio(rounds, calls int, floor, ours func()) (r, least float64) {
	best := [2]float64{math.Inf(1), math.Inf(1)}
	for range rounds {
		for k, call := range []func(){floor, ours} {
			took := timed(func() {
				for range calls {
					call()
				}
			})
			best[k] = min(best[k], took/float64(calls))
		}
	}
	return best[1] / best[0], best[0]
}

// TestGuard sees a cost that has grown. It judges no time, but the ratio to a
// floor that is measured beside it.
func TestGuard(t *testing.T) {
	for _, c := range guards() {
		t.Run(c.name, func(t *testing.T) {
			floor, ours := c.parts(t, nil)
			r := c.judge(floor, ours)
			t.Logf("%.1f times the floor, limit %g", r, c.limit)
			if r > c.limit {
				t.Errorf("it takes %.1f times as long as its floor, over %g: find what has become slow (make bench shows more), or, if that is meant, raise the limit and say why", r, c.limit)
			}
		})
	}
}

// judge is the best of a few tries, which ends with the first good one.
func (c guarded) judge(floor, ours func()) float64 {
	best := math.Inf(1)
	for range guardTries {
		if r, _ := ratio(guardRounds, c.calls, floor, ours); r < best {
			best = r
		}
		if best <= c.limit {
			break
		}
	}
	return best
}

// TestGuardSeesAPlantedSlowDown plants one in each case, where a slow handler
// would be, and wants the guard to be red.
func TestGuardSeesAPlantedSlowDown(t *testing.T) {
	for _, c := range guards() {
		t.Run(c.name, func(t *testing.T) {
			slow := time.Duration(0)
			c.calls = max(c.calls/10, 1)
			floor, ours := c.parts(t, func() { spin(slow) })
			for try := range guardTries { // the machine may change its pace between a floor and what is held against it
				_, least := ratio(guardRounds, c.calls, floor, func() {})
				slow = time.Duration(3 * c.limit * least * float64(time.Second))
				r, _ := ratio(2, c.calls, floor, ours)
				if r > c.limit {
					return
				}
				t.Logf("try %d: with %s more in each call it takes %.1f times as long as its floor", try+1, slow, r)
			}
			t.Errorf("that is within %g: the guard is blind", c.limit)
		})
	}
}

// spin keeps the processor busy: a sleep would let others run.
func spin(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
}
