package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/epic-swf/testbed/agents"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// The events of a runner, as they wait in its outbox. Each says when what it
// tells of was, since it may be told much later, and by another process.
const (
	eventExecution = "execution"
	eventRunState  = "run state"
	eventEnd       = "end of execution"
)

// startEvent is an execution and all that its record builds on.
type startEvent struct {
	Namespace  string         `json:"namespace"`
	Owner      string         `json:"owner"` // of the namespace, where there is none yet
	Definition swf.Definition `json:"definition"`
	Execution  swf.Execution  `json:"execution"` // its definition's id is found when it is told
}

// endEvent is how an execution ended.
type endEvent struct {
	CommandID   string         `json:"command_id"`
	ExecutionID string         `json:"execution_id"`
	Ending      control.Ending `json:"ending"`
}

// handleEvents says how each kind is told. All are harmless when repeated:
// executions, definitions and run states have names, an end is an end.
func (r *Runner) handleEvents() {
	out := r.base.Outbox()
	agents.Handle(out, eventExecution, func(ctx context.Context, e startEvent, _ bool) error { return r.tellStart(ctx, e) })
	agents.Handle(out, eventRunState, func(ctx context.Context, s swf.RunState, _ bool) error {
		if err := r.o.Monitor.CreateRunState(ctx, s); !exists(err) {
			return err
		}
		return nil
	})
	agents.Handle(out, eventEnd, func(ctx context.Context, e endEvent, _ bool) error { return r.tellEnd(ctx, e) })
}

// recordStart puts the execution into the monitor's books: namespace,
// definition, execution. Agents may look it up when the run is imminent, so
// this waits for it a little; a monitor that is away is told later.
func (x *execution) recordStart(ctx context.Context) {
	o := &x.runner.o
	created := x.runner.base.Outbox().Add(eventExecution, "create execution "+x.id, startEvent{
		Namespace: o.Namespace, Owner: o.Username,
		Definition: swf.Definition{
			WorkflowName: x.run.Workflow, Version: x.run.Version, WorkflowType: "simulation", Definition: x.run.Definition,
			ParameterValues: x.parameters(), CreatedBy: o.Username,
		},
		Execution: swf.Execution{
			ExecutionID: x.id, Namespace: &o.Namespace, Status: swf.ExecutionRunning,
			ExecutedBy: o.Username, StartTime: swf.At(x.since), ParameterValues: x.parameters(),
		},
	})
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	x.runner.base.Outbox().Wait(ctx, created)
}

func (r *Runner) tellStart(ctx context.Context, e startEvent) error {
	if err := r.o.Monitor.EnsureNamespace(ctx, e.Namespace, e.Owner, ""); err != nil {
		return err
	}
	definition, err := r.definition(ctx, e.Definition)
	if err != nil {
		return err
	}
	e.Execution.WorkflowDefinition = definition
	if _, err := r.o.Monitor.CreateExecution(ctx, e.Execution); !exists(err) {
		return err
	}
	return nil // the answer to an earlier attempt was lost
}

// definition finds or makes the monitor's record of the workflow; it is never
// changed once made.
func (r *Runner) definition(ctx context.Context, d swf.Definition) (int64, error) {
	mon := r.o.Monitor
	found, err := mon.FindDefinition(ctx, d.WorkflowName, d.Version)
	if err == nil && found == nil {
		found, err = mon.CreateDefinition(ctx, d)
		if conflict(err) { // another user's runner was faster
			found, err = mon.FindDefinition(ctx, d.WorkflowName, d.Version)
		}
	}
	switch {
	case err != nil:
		return 0, err
	case found == nil:
		return 0, errors.New("the definition is said to exist but is not to be found")
	}
	return found.ID, nil
}

// parameters are the merged sections, as upstream posts them, with what the
// agents need to know of the workflow: whether it runs in real time.
func (x *execution) parameters() json.RawMessage {
	b, err := x.run.JSON()
	if err != nil { // not from TOML: it has nothing that JSON lacks but infinities
		x.log.Warn("the parameters cannot be written as JSON", "err", err)
		return json.RawMessage("{}")
	}
	return b
}

// recordRunState posts the state of the run's processing (contract 1.4).
func (x *execution) recordRunState() {
	number, err := strconv.ParseInt(x.player.run, 10, 64)
	if err != nil {
		return
	}
	metadata, _ := json.Marshal(map[string]any{
		"execution_id": x.id, "stf_sampling_rate": x.run.Values["stf_sampling_rate"], "slices_per_sample": x.run.Values["slices_per_sample"],
	})
	workers, _ := number64(x.run.Values["target_worker_count"])
	substate := "preparing"
	x.runner.base.Outbox().Add(eventRunState, "run state of "+x.player.run, swf.RunState{
		RunNumber: number, Phase: "initializing", State: "imminent", Substate: &substate,
		TargetWorkerCount: int(workers), StateChangedAt: swf.At(time.Now()), Metadata: metadata,
	})
}

// writeEnd puts the end beside the execution's claim, so that it is told even
// if this runner dies now.
func (x *execution) writeEnd(e ending, at time.Time) control.Ending {
	metrics := map[string]any{"stf_count": x.player.files, "simulated_seconds": x.tick(), "wall_seconds": at.Sub(x.since).Seconds()}
	x.metrics(metrics)
	if e.reason != "" {
		metrics["reason"] = e.reason
	}
	if x.unsent > 0 {
		metrics["broadcasts_lost"] = x.unsent
	}
	body, _ := json.Marshal(metrics) // it holds nothing that JSON cannot
	ending := control.Ending{Status: e.status, EndTime: at, Metrics: body}
	if err := x.runner.o.Runs.Conclude(x.command, ending); err != nil {
		x.log.Error("the end of the execution could not be written down; should this runner die now it counts as lost", "err", err)
	}
	return ending
}

// recordEnd tells the terminal status, once, and notes that it was told.
func (x *execution) recordEnd(e control.Ending) {
	x.runner.base.Outbox().Add(eventEnd, "end execution "+x.id, endEvent{CommandID: x.command, ExecutionID: x.id, Ending: e})
}

// tellEnd tells the true end, whatever a monitor that has not heard of the
// runner for long has made of the execution.
func (r *Runner) tellEnd(ctx context.Context, e endEvent) error {
	err := r.o.Monitor.PatchExecution(ctx, e.ExecutionID, e.Ending.Fields())
	var status *monitor.StatusError
	if err == nil || errors.As(err, &status) && status.Status == http.StatusNotFound {
		return errors.Join(err, r.o.Runs.End(e.CommandID)) // where there is no record there is none to end
	}
	return err
}

// exists reports whether the monitor refused to make a thing twice.
func exists(err error) bool {
	var status *monitor.StatusError
	return errors.As(err, &status) && status.Status == http.StatusBadRequest && strings.Contains(status.Body, "already exists")
}

// conflict is exists for things that are unique by two fields.
func conflict(err error) bool {
	var status *monitor.StatusError
	return errors.As(err, &status) && status.Status == http.StatusBadRequest && strings.Contains(status.Body, "unique set")
}
