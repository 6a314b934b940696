package agents

import (
	"time"

	"github.com/epic-swf/testbed/swf"
)

// pool is the simulated workers of one run, as far as they belong to this
// process. Its times are seconds after the run was imminent: by the wall clock
// in real time, by the ticks that messages carry in virtual time.
//
// A worker takes one slice at a time, in the order in which they came, the one
// that is free first the next slice. Since all slices take equally long, who
// does what and when is known as soon as a slice comes.
type pool struct {
	run      string
	realtime bool
	born     time.Time
	imminent float64 // tick

	processing float64   // seconds for one slice
	down       float64   // seconds that the workers take to go
	free       []float64 // when each worker is free; before the first slice, when it is up
	share      share
	idle       float64 // when the last slice is done
	ended      bool    // the run has
	left       bool    // so have the workers
	slices     map[string]*job
	answered   []string // of them, the first one first
}

// keepAnswered is how many of a run's slices are remembered once they are
// answered: a copy that comes later still is worked on like a new one, and told
// as one that whoever hands out the slices knows to be a copy.
const keepAnswered = 20_000

// job is one slice at a worker.
type job struct {
	run        string
	name       string
	content    map[string]any // of the slice message; nil once it is answered
	worker     int
	start, end float64
	due        time.Time // when the result is told, in real time
	done       time.Time // when it was first told
}

// settle forgets of a slice that is answered all but what a copy needs.
func (w *pool) settle(j *job) {
	j.content = nil
	if w.answered = append(w.answered, j.name); len(w.answered) > keepAnswered {
		delete(w.slices, w.answered[0])
		w.answered = w.answered[1:]
	}
}

// share says which part of the workers this process is: the workers of a run
// are dealt out to as many processes as there are, and a slice belongs to the
// process that its name's hash points to. Every process hears every slice, so
// this needs no word between them, and a copy of a slice goes where the first
// one went.
type share struct{ index, of int }

// newPool makes the workers that a run_imminent_worker asks for.
func newPool(m swf.Message, p Parameters, s share) *pool {
	workers := p.whole("target_worker_count", 1, 1)
	s.of = min(s.of, workers)
	w := &pool{
		run: runID(m), realtime: p.realtime(), born: time.Now(), share: s, slices: make(map[string]*job),
		processing: max(p.number("slice_processing_time", 0), 0), down: max(p.number("worker_rampdown_time", 0), 0),
	}
	up := max(p.number("worker_rampup_time", 0), 0)
	for i := range workers {
		if i%s.of == s.index { // they come up one after the other, the last when the time is over
			w.free = append(w.free, up*float64(i+1)/float64(workers))
		}
	}
	return w
}

func (w *pool) mine(name string) bool {
	return len(w.free) > 0 && int(hash(name)%uint64(w.share.of)) == w.share.index
}

// take gives a slice that came at a time to a worker.
func (w *pool) take(name string, content map[string]any, at float64) *job {
	next := 0
	for i, t := range w.free {
		if t < w.free[next] {
			next = i
		}
	}
	start := max(at, w.free[next])
	j := &job{run: w.run, name: name, content: content, worker: w.share.index + next*w.share.of, start: start, end: start + w.processing}
	w.free[next], w.idle = j.end, max(w.idle, j.end)
	j.due = w.born.Add(seconds(j.end))
	w.slices[name] = j
	return j
}

// gone is when the last worker leaves after the run has ended; in virtual time
// nobody waits for it.
func (w *pool) gone() time.Time {
	if !w.realtime {
		return w.born
	}
	return w.born.Add(seconds(w.idle + w.down))
}

func seconds(s float64) time.Duration { return time.Duration(min(s, 1e9) * float64(time.Second)) }
