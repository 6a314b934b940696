package agents

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// slicePage is how many slices are asked for at once.
const slicePage = 1000

// ledger is what is known of one run's slices.
type ledger struct {
	runAt
	whole   bool // all that the monitor has of the run is in here
	samples map[string]bool
	slices  map[string]*entry // by name
	told    bool              // a call that tells the counters is waiting
}

// entry is one slice, from before it is registered until it is answered.
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

// ledger returns the ledger of a run, a new one if need be.
func (f *Fast) ledger(r runAt) *ledger {
	l := f.ledgers[r.run]
	if l == nil {
		l = &ledger{runAt: r, samples: make(map[string]bool), slices: make(map[string]*entry)}
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

// load takes into the ledger what the monitor has of one sample.
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
		if s.FastMonFile != sample {
			continue
		}
		name := sliceName(sample, s.SliceID)
		if l.slices[name] != nil && l.slices[name].id != 0 {
			continue
		}
		e := &entry{
			frames: frames{name: name, first: s.TFFirst, last: s.TFLast}, sample: sample, number: s.SliceID, id: s.ID, status: s.Status,
		}
		_ = json.Unmarshal(s.Metadata, &e.metadata)
		e.stf, _ = e.metadata["stf_filename"].(string)
		e.tick = e.metadata["simulation_tick"]
		if l.execution == "" {
			l.execution, _ = e.metadata["execution_id"].(string)
		}
		l.slices[name], l.samples[sample] = e, true
	}
	return nil
}

// counts are the counters of a run's state (contract 1.4). What was queued
// once stays counted as queued, as upstream does.
func (l *ledger) counts() map[string]any {
	created, completed, failed := 0, 0, 0
	for _, e := range l.slices {
		if e.id == 0 {
			continue
		}
		created++
		switch e.status {
		case swf.SliceCompleted:
			completed++
		case swf.SliceFailed:
			failed++
		}
	}
	return map[string]any{
		"stf_samples_received": len(l.samples), "slices_created": created, "slices_queued": created,
		"slices_completed": completed, "slices_failed": failed,
	}
}

// count has the counters told, once for all changes until the call is made.
func (f *Fast) count(l *ledger) {
	if l.told {
		return
	}
	l.told = true
	f.outbox("counters of run "+l.run, func(ctx context.Context) error {
		l.told = false
		counts := l.counts()
		f.base.Count(map[string]any{"run": l.run, "samples": counts["stf_samples_received"],
			"slices": counts["slices_created"], "completed": counts["slices_completed"]})
		return f.patchState(ctx, l.runAt, nil, counts)
	})
}

// state changes the state of a run's processing.
func (f *Fast) state(r runAt, p Parameters, fields map[string]any) {
	fields["state_changed_at"] = swf.At(time.Now())
	f.outbox("state of run "+r.run, func(ctx context.Context) error { return f.patchState(ctx, r, p, fields) })
}

// patchState changes a run's state, and makes it where the runner could not.
func (f *Fast) patchState(ctx context.Context, r runAt, p Parameters, fields map[string]any) error {
	mon := f.base.o.Monitor
	err := mon.PatchRunState(ctx, r.number, fields)
	var status *monitor.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusNotFound {
		return err
	}
	substate := "preparing"
	metadata, _ := json.Marshal(map[string]any{"execution_id": r.execution})
	err = mon.CreateRunState(ctx, swf.RunState{
		RunNumber: r.number, Phase: "initializing", State: "imminent", Substate: &substate,
		TargetWorkerCount: p.whole("target_worker_count", 0, 0), StateChangedAt: swf.At(time.Now()), Metadata: metadata,
	})
	if err != nil && !exists(err) {
		return err
	}
	return mon.PatchRunState(ctx, r.number, fields)
}

// event posts what happened to a run.
func (f *Fast) event(r runAt, m swf.Message, state, substate string, data map[string]any) {
	e := swf.StateEvent{Timestamp: swf.At(time.Now()), RunNumber: r.number, EventType: m.Type(), State: state}
	if substate != "" {
		e.Substate = &substate
	}
	if data == nil {
		data = make(map[string]any, 2)
	}
	data["execution_id"], data["simulation_tick"] = r.execution, m["simulation_tick"]
	e.EventData, _ = json.Marshal(data)
	f.outbox("event "+e.EventType, func(ctx context.Context) error { return f.base.o.Monitor.PostStateEvent(ctx, e) })
}
