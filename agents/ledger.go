package agents

import (
	"context"
	"encoding/json"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// slicePage is how many slices are asked for at once.
const slicePage = 1000

// ledger is what is known of one run's slices. Of those that are completed it
// keeps a bit each: runs are long.
type ledger struct {
	runAt
	whole   bool // all that the monitor has of the run is in here
	samples map[string]*sampled
	slices  map[string]*entry // by name: those that are registered and not completed

	created, completed, failed int
	told                       bool // a call that tells the counters is waiting
}

// sampled is what became of one sample.
type sampled struct {
	cut  bool // all slices are registered and handed out
	done bits // slices that are completed
}

// bits is a set of small numbers.
type bits []uint64

func (b bits) has(i int) bool { return i/64 < len(b) && b[i/64]>>(i%64)&1 != 0 }

func (b *bits) add(i int) {
	for len(*b) <= i/64 {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

// entry is one slice, from before it is registered until it is completed.
type entry struct {
	frames
	sample, stf string
	tick        any // of the STF, where it is known
	number      int // within the sample
	id          int64
	status      string
	sent        bool
	metadata    map[string]any
}

// sample returns what became of a sample.
func (l *ledger) sample(name string) *sampled {
	s := l.samples[name]
	if s == nil {
		s = &sampled{}
		l.samples[name] = s
	}
	return s
}

// done reports whether a slice is known to be completed.
func (l *ledger) done(sample string, number int) bool {
	s := l.samples[sample]
	return s != nil && s.done.has(number)
}

// add takes in a slice that the monitor has.
func (l *ledger) add(e *entry) {
	l.created++
	l.sample(e.sample)
	l.slices[e.name] = e
	status := e.status
	e.status = swf.SliceQueued
	l.settle(e, status)
}

// settle notes how a slice ended, if it has.
func (l *ledger) settle(e *entry, status string) {
	if e.status == swf.SliceFailed {
		l.failed--
	}
	switch e.status = status; status {
	case swf.SliceFailed:
		l.failed++
	case swf.SliceCompleted:
		l.completed++
		l.sample(e.sample).done.add(e.number)
		delete(l.slices, e.name)
	}
}

// ledger returns the ledger of a run, a new one if need be.
func (f *Fast) ledger(r runAt) *ledger {
	l := f.ledgers[r.run]
	if l == nil {
		l = &ledger{runAt: r, samples: make(map[string]*sampled), slices: make(map[string]*entry)}
		f.ledgers[r.run] = l
		if f.order = append(f.order, r.run); len(f.order) > keepLedgers {
			delete(f.ledgers, f.order[0])
			f.order = f.order[1:]
		}
	}
	if l.execution == "" {
		l.execution = r.execution
	}
	return l
}

// load takes into the ledger what the monitor has of one sample, or of all
// where sample is "".
func (f *Fast) load(ctx context.Context, l *ledger, sample string) error {
	var found []swf.TFSlice
	for {
		page, err := f.base.o.Monitor.FindTFSlices(ctx, monitor.SliceFilter{RunNumber: l.number, FastMonFile: sample, Limit: slicePage, Offset: len(found)})
		if err != nil {
			return err
		}
		if found = append(found, page...); len(page) < slicePage {
			break
		}
	}
	for _, s := range found {
		if sample != "" && s.FastMonFile != sample || s.RunNumber != l.number {
			continue
		}
		name := sliceName(s.FastMonFile, s.SliceID)
		if l.slices[name] != nil || l.done(s.FastMonFile, s.SliceID) {
			continue
		}
		e := &entry{
			frames: frames{name: name, first: s.TFFirst, last: s.TFLast}, sample: s.FastMonFile, number: s.SliceID, id: s.ID, status: s.Status,
		}
		_ = json.Unmarshal(s.Metadata, &e.metadata)
		e.stf, _ = e.metadata["stf_filename"].(string)
		e.tick = e.metadata["simulation_tick"]
		if l.execution == "" {
			l.execution, _ = e.metadata["execution_id"].(string)
		}
		l.add(e)
	}
	l.whole = l.whole || sample == ""
	return nil
}

// counts are the counters of a run's state (contract 1.4). What was queued
// once stays counted as queued, as upstream does.
func (l *ledger) counts() map[string]any {
	return map[string]any{
		"stf_samples_received": len(l.samples), "slices_created": l.created, "slices_queued": l.created,
		"slices_completed": l.completed, "slices_failed": l.failed,
	}
}

// count has the counters told, once for all changes until that is done.
func (f *Fast) count(l *ledger) {
	if l.told {
		return
	}
	t := f.base.Outbox().Add(eventCounters, "counters of run "+l.run, stateEvent{Run: l.run, Number: l.number, Execution: l.execution})
	l.told = t.err == nil // ours is the goroutine that makes the calls
}

// state changes the state of a run's processing.
func (f *Fast) state(r runAt, p Parameters, fields map[string]any) {
	fields["state_changed_at"] = swf.At(time.Now())
	f.base.Outbox().Add(eventState, "state of run "+r.run, stateEvent{
		Run: r.run, Number: r.number, Execution: r.execution, Workers: p.whole("target_worker_count", 0, 0), Fields: fields,
	})
}

// event posts what happened to a run.
func (f *Fast) event(r runAt, m swf.Message, state, substate string, data map[string]any) {
	f.eventAt(swf.At(time.Now()), false, r, m, state, substate, data)
}

// eventAt is event for what may have been told before, at that time.
func (f *Fast) eventAt(at swf.Timestamp, again bool, r runAt, m swf.Message, state, substate string, data map[string]any) {
	e := swf.StateEvent{Timestamp: at, RunNumber: r.number, EventType: m.Type(), State: state}
	if substate != "" {
		e.Substate = &substate
	}
	if data == nil {
		data = make(map[string]any, 2)
	}
	data["execution_id"], data["simulation_tick"] = r.execution, m["simulation_tick"]
	e.EventData, _ = json.Marshal(data)
	f.base.Outbox().Add(eventHappened, "event "+e.EventType, happening{Event: e, Again: again, Once: m.Type() == swf.MsgEndRun})
}
