package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// recordStart puts the execution into the monitor's books: namespace,
// definition, execution. Agents may look it up when the run is imminent, so
// this waits for it a little; a monitor that is away is told later.
func (x *execution) recordStart(ctx context.Context) {
	r, mon := x.runner, x.runner.o.Monitor
	var definition int64
	out := r.base.Outbox()
	out.Add("ensure namespace "+r.o.Namespace, func(ctx context.Context) error {
		return mon.EnsureNamespace(ctx, r.o.Namespace, r.o.Username, "")
	})
	out.Add("definition of "+x.run.Workflow, func(ctx context.Context) (err error) {
		definition, err = x.definition(ctx)
		return err
	})
	created := out.Add("create execution "+x.id, func(ctx context.Context) error {
		namespace := r.o.Namespace
		_, err := mon.CreateExecution(ctx, swf.Execution{
			ExecutionID: x.id, WorkflowDefinition: definition, Namespace: &namespace, Status: swf.ExecutionRunning,
			ExecutedBy: r.o.Username, StartTime: swf.At(x.since), ParameterValues: x.parameters(),
		})
		if exists(err) {
			return nil // the answer to an earlier attempt was lost
		}
		return err
	})
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	out.Wait(ctx, created)
}

// definition finds or makes the monitor's record of the workflow; it is never
// changed once made.
func (x *execution) definition(ctx context.Context) (int64, error) {
	mon := x.runner.o.Monitor
	found, err := mon.FindDefinition(ctx, x.run.Workflow, x.run.Version)
	if err == nil && found == nil {
		found, err = mon.CreateDefinition(ctx, swf.Definition{
			WorkflowName: x.run.Workflow, Version: x.run.Version, WorkflowType: "simulation", Definition: x.run.Definition,
			ParameterValues: x.parameters(), CreatedBy: x.runner.o.Username,
		})
		if conflict(err) { // another user's runner was faster
			found, err = mon.FindDefinition(ctx, x.run.Workflow, x.run.Version)
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
	x.runner.base.Outbox().Add("run state of "+x.player.run, func(ctx context.Context) error {
		err := x.runner.o.Monitor.CreateRunState(ctx, swf.RunState{
			RunNumber: number, Phase: "initializing", State: "imminent", Substate: &substate,
			TargetWorkerCount: int(workers), StateChangedAt: swf.At(time.Now()), Metadata: metadata,
		})
		if exists(err) {
			return nil
		}
		return err
	})
}

// recordEnd tells the terminal status, once, and notes that it was told.
func (x *execution) recordEnd(e ending) {
	r := x.runner
	metrics := map[string]any{"stf_count": x.player.files, "simulated_seconds": x.tick(), "wall_seconds": time.Since(x.since).Seconds()}
	x.metrics(metrics)
	if e.reason != "" {
		metrics["reason"] = e.reason
	}
	if x.unsent > 0 {
		metrics["broadcasts_lost"] = x.unsent
	}
	fields := map[string]any{"status": e.status, "end_time": swf.At(time.Now()), "performance_metrics": metrics}
	r.base.Outbox().Add("end execution "+x.id, func(ctx context.Context) error {
		err := r.o.Monitor.PatchExecution(ctx, x.id, fields)
		var status *monitor.StatusError
		if err == nil || errors.As(err, &status) && status.Status == http.StatusNotFound {
			return errors.Join(err, r.o.Runs.End(x.command)) // where there is no record there is none to end
		}
		return err
	})
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
