package bench

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/workflows"
	"github.com/epic-swf/testbed/workflows/sim"
)

// simulation is row 12.
func simulation() *group {
	const floor = "an empty loop over the same heap"
	g := &group{name: "simulation", rows: []*row{
		{of: "simulation, virtual clock, 1 process: events/s", floor: floor, unit: perSecond, goal: ratioAtLeast(0.2)},
		{of: "the same, 100 processes that interleave", floor: floor, unit: perSecond, goal: ratioAtLeast(0.2)},
		{of: "100,000 STFs played, in runs of 25,000: memory", floor: "100 runs of 1,000 STFs", unit: bytesOf, goal: goal{words: "flat: ≤ 1.25", limit: 1.25},
			why: "the run keeps something for each STF"},
	}}
	g.measure = func(t *testing.T, g *group) {
		events := size(200_000)
		g.inTurn(t, 7, func() []float64 { return []float64{overHeap(1, events), overHeap(100, events)} }, func() []float64 {
			if python() != "" {
				g.rows[0].rival("SimPy", simpy(t, 1, events/4))
				g.rows[1].rival("SimPy", simpy(t, 100, events/4))
			}
			return []float64{overClock(t, 1, events), overClock(t, 100, events)}
		})
		few, most := size(1000), size(100_000)
		outline(t, few)
		for range rounds(5) {
			g.rows[2].add(peak(func() {
				for range most / few {
					outline(t, few)
				}
			}), peak(func() { outline(t, most) }))
		}
	}
	return g
}

// sleeperEvent is what a queue of sleepers holds at the least.
type sleeperEvent struct {
	at  int64
	seq int
}

type sleepers []*sleeperEvent

func (q sleepers) Len() int { return len(q) }
func (q sleepers) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q sleepers) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *sleepers) Push(x any)   { *q = append(*q, x.(*sleeperEvent)) }
func (q *sleepers) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// nap is how long sleeper number i sleeps, in simulated microseconds.
func nap(i int) int64 { return int64(1_000_000 + 137_000*i) }

func overHeap(n, events int) float64 {
	var q sleepers
	for i := range n {
		heap.Push(&q, &sleeperEvent{nap(i), i})
	}
	return float64(events) / timed(func() {
		for k := range events {
			e := heap.Pop(&q).(*sleeperEvent)
			heap.Push(&q, &sleeperEvent{e.at + nap(k%n), n + k})
		}
	})
}

func overClock(t testing.TB, n, events int) float64 {
	all := make([]sim.Process, n)
	for i := range all {
		all[i] = func(ctx context.Context, c *sim.Clock) error {
			for range events / n {
				if err := c.Sleep(ctx, float64(nap(i))/1e6); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return float64(events) / timed(func() {
		if err := sim.New(sim.Options{}).Run(context.Background(), all...); err != nil {
			t.Error(err)
		}
	})
}

// simpy is the same on SimPy.
func simpy(t testing.TB, n, events int) float64 {
	t.Helper()
	out, err := exec.Command(python(), filepath.Join("testdata", "simpy_events.py"), fmt.Sprint(n), fmt.Sprint(events)).Output()
	if err != nil {
		t.Error("SimPy: ", err)
		return 0
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		t.Error(err)
	}
	return v
}

// mostSTFs is how many fit into the hour that an outline looks at.
const mostSTFs = 25_000

// outline plays runs of so many STFs in all, where nobody hears them.
func outline(t testing.TB, stfs int) {
	t.Helper()
	dir := t.TempDir()
	text := "[testbed]\nnamespace = \"bench\"\n\n[workflow]\nname = \"stf_datataking\"\n"
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "workflows"), 0o700), os.WriteFile(filepath.Join(dir, "workflows", "testbed.toml"), []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := config.Sources{Dir: dir, Embedded: workflows.Files}
	tb, err := config.Load(s, "testbed")
	if err != nil {
		t.Fatal(err)
	}
	for ; stfs > 0; stfs -= mostSTFs {
		n := min(stfs, mostSTFs)
		o, err := workflows.Validate(context.Background(), s, tb, config.RunRequest{Params: map[string]any{"stf_count": n, "stf_interval": 0.01, "stf_generation_time": 0.01}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.Endless || o.STFs != n {
			t.Fatalf("%+v", o)
		}
	}
}

// peak is the most live and garbage heap that f needs, beyond what was there.
func peak(f func()) float64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	heapNow := func() uint64 { metrics.Read(sample); return sample[0].Value.Uint64() }
	before, most := heapNow(), uint64(0)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, heapNow())
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	f()
	close(stop)
	<-done
	return float64(max(most, before+1) - before)
}
