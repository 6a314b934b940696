package agents

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// The events of a fast processing agent, as they wait in its outbox.
const (
	eventState    = "run state"
	eventCounters = "run counters" // as they are when they are told
	eventHappened = "state event"
	eventCut      = "cut"
	eventResult   = "result"
)

// stateEvent is a change of a run's processing state.
type stateEvent struct {
	Run       string         `json:"run"`
	Number    int64          `json:"number"`
	Execution string         `json:"execution"`
	Workers   int            `json:"workers,omitempty"` // for a state that the runner could not make
	Fields    map[string]any `json:"fields,omitempty"`
}

func (e stateEvent) at() runAt {
	return runAt{run: e.Run, number: e.Number, execution: e.Execution}
}

// happening is a state event.
type happening struct {
	Event swf.StateEvent `json:"event"`
	Again bool           `json:"again,omitempty"` // whoever added it may have added it before
	Once  bool           `json:"once,omitempty"`  // there is one of its type in a run, also where its message came twice
}

// cutEvent is a sample that is to be cut into slices.
type cutEvent struct {
	Message swf.Message   `json:"message"` // tf_file_registered
	Number  int64         `json:"number"`  // of the run
	First   int           `json:"first"`
	Last    int           `json:"last"`
	At      swf.Timestamp `json:"at"`
}

// handleEvents says how each kind is told.
func (f *Fast) handleEvents(o *Outbox) {
	Handle(o, eventState, func(ctx context.Context, e stateEvent, _ bool) error { return f.patchState(ctx, e) })
	Handle(o, eventCounters, f.tellCounters)
	HandleAll(o, eventHappened, together, f.tellHappenings)
	Handle(o, eventCut, func(ctx context.Context, e cutEvent, again bool) error {
		p, err := f.base.parametersTold(ctx, &f.told, e.Message.ExecutionID())
		if err != nil {
			return err
		}
		r := runAt{run: runID(e.Message), number: e.Number, execution: e.Message.ExecutionID()}
		s := frames{name: text(e.Message, "tf_filename"), first: e.First, last: e.Last}
		return f.cut(ctx, cutting{runAt: r, frames: s, message: e.Message, at: e.At, again: again, plan: planOf(p)})
	})
	HandleAll(o, eventResult, together, func(ctx context.Context, answers []swf.Message, _ bool) error { return f.book(ctx, answers) })
}

// tellCounters tells how far a run is. An agent that began in mid-run, and finds
// this event of an earlier one, asks the monitor what there is.
func (f *Fast) tellCounters(ctx context.Context, e stateEvent, _ bool) error {
	l := f.ledger(e.at())
	if !l.whole {
		if err := f.load(ctx, l, ""); err != nil {
			return err
		}
	}
	l.told = false
	e.Fields = l.counts()
	f.base.Count(map[string]any{"run": l.run, "samples": e.Fields["stf_samples_received"],
		"slices": e.Fields["slices_created"], "completed": e.Fields["slices_completed"]})
	return f.patchState(ctx, e)
}

// tellHappenings posts state events. The contract gives events no name, so those
// that may be there already are looked for; where that cannot be done they are
// posted: twice is better than never.
func (f *Fast) tellHappenings(ctx context.Context, all []happening, again bool) error {
	var fresh []swf.StateEvent
	var doubtful []swf.StateEvent
	for _, h := range all {
		switch {
		case h.Once:
			if have, err := f.base.o.Monitor.HasStateEvent(ctx, h.Event); err != nil || !have {
				fresh = append(fresh, h.Event)
			}
		case again || h.Again:
			doubtful = append(doubtful, h.Event)
		default:
			fresh = append(fresh, h.Event)
		}
	}
	return f.base.o.Monitor.PostStateEvents(ctx, append(fresh, f.base.o.Monitor.NewStateEvents(ctx, doubtful)...))
}

// patchState changes a run's state, and makes it where the runner could not.
func (f *Fast) patchState(ctx context.Context, e stateEvent) error {
	mon := f.base.o.Monitor
	err := mon.PatchRunState(ctx, e.Number, e.Fields)
	var status *monitor.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusNotFound {
		return err
	}
	substate := "preparing"
	metadata, _ := json.Marshal(map[string]any{"execution_id": e.Execution})
	changed := swf.Timestamp{}
	if at, ok := e.Fields["state_changed_at"].(string); ok {
		changed, _ = swf.ParseTimestamp(at)
	}
	err = mon.CreateRunState(ctx, swf.RunState{
		RunNumber: e.Number, Phase: "initializing", State: "imminent", Substate: &substate,
		TargetWorkerCount: e.Workers, StateChangedAt: changed, Metadata: metadata,
	})
	if err != nil && !exists(err) {
		return err
	}
	return mon.PatchRunState(ctx, e.Number, e.Fields)
}
