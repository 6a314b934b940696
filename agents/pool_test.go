package agents

import (
	"fmt"
	"testing"

	"github.com/epic-swf/testbed/swf"
)

func imminentWorker(workers int) (swf.Message, Parameters) {
	content := map[string]any{
		"simulation_tick": 5.0, "target_worker_count": float64(workers), "slice_processing_time": 30.0, "worker_rampup_time": 60.0, "worker_rampdown_time": 60.0,
	}
	return swf.Message{"msg_type": swf.MsgRunImminentWorker, "run_id": "100010", "content": content}, Parameters(content)
}

// Two workers, the first up at 30 s, the second at 60 s; a slice takes 30 s.
func TestWorkersComeAndTakeTurns(t *testing.T) {
	m, p := imminentWorker(2)
	w := newPool(m, p, share{0, 1})
	for i, want := range []struct {
		at, start, end float64
		worker         int
	}{
		{9.2, 30, 60, 0}, {9.2, 60, 90, 0}, {11.4, 60, 90, 1}, {13, 90, 120, 0}, {200, 200, 230, 1}, {201, 201, 231, 0},
	} {
		if j := w.take(fmt.Sprint("s", i), nil, want.at); j.start != want.start || j.end != want.end || j.worker != want.worker {
			t.Errorf("slice %d at %v: worker %d from %v to %v, want %+v", i, want.at, j.worker, j.start, j.end, want)
		}
	}
	if w.idle != 231 {
		t.Errorf("idle at %v", w.idle)
	}
}

// However many processes there are, each slice is one process's and each
// worker too.
func TestSharesAreWhole(t *testing.T) {
	for _, workers := range []int{1, 2, 5, 10} {
		for _, of := range []int{1, 2, 3, 12} {
			var pools []*pool
			total := 0
			for index := range of {
				m, p := imminentWorker(workers)
				pools = append(pools, newPool(m, p, share{index, of}))
				total += len(pools[index].free)
			}
			if total != workers {
				t.Errorf("%d workers on %d processes are %d", workers, of, total)
			}
			taken := make([]int, of)
			for n := range 1000 {
				owners := 0
				for index, p := range pools {
					if p.mine(fmt.Sprintf("swf.100010.%06d_tf_001_slice_%03d.tf", n/15+1, n%15)) {
						owners++
						taken[index]++
					}
				}
				if owners != 1 {
					t.Fatalf("%d workers on %d processes: slice %d has %d owners", workers, of, n, owners)
				}
			}
			for index, n := range taken[:min(of, workers)] {
				if fair := 1000 / min(of, workers); n < fair/2 || n > fair*2 {
					t.Errorf("%d workers on %d processes: process %d took %d of 1000", workers, of, index, n)
				}
			}
		}
	}
}
