package workflows

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// reasonLost is why an execution is lost.
const reasonLost = "the workflow runner ended in the middle of the run"

// endLost ends what an earlier runner left behind: its claims that have an
// execution but no end. They are never run again.
func (r *Runner) endLost() {
	claims, err := r.o.Runs.Open()
	if err != nil {
		r.log.Error("cannot read the claims of earlier runs", "err", err)
	}
	for _, c := range claims {
		r.log.Warn("an earlier runner ended in the middle of this execution", "execution_id", c.ExecutionID)
		r.base.Outbox().Add("end lost execution "+c.ExecutionID, func(ctx context.Context) error { return r.lose(ctx, c) })
	}
	if err := r.o.Runs.Sweep(time.Now().Add(-keepClaims)); err != nil {
		r.log.Warn("cannot remove old claims", "err", err)
	}
}

// lose marks one execution as lost, unless it has told its end after all.
func (r *Runner) lose(ctx context.Context, c control.Claim) error {
	x, err := r.o.Monitor.Execution(ctx, c.ExecutionID)
	if err != nil {
		return err
	}
	if x != nil && x.Status == swf.ExecutionRunning {
		err = r.o.Monitor.PatchExecution(ctx, c.ExecutionID, map[string]any{
			"status": swf.ExecutionLost, "end_time": swf.At(time.Now()),
			"performance_metrics": map[string]any{"reason": reasonLost},
		})
		if err != nil {
			return err
		}
	}
	if err := r.endRunOf(ctx, c.ExecutionID); err != nil {
		return err
	}
	return r.o.Runs.End(c.CommandID)
}

// endRunOf broadcasts the end_run that the dead runner did not, so that agents
// and workers close the run; where the monitor shows an end it was heard.
func (r *Runner) endRunOf(ctx context.Context, execution string) error {
	runs, err := r.o.Monitor.Runs(ctx)
	if err != nil {
		return err
	}
	for _, run := range runs {
		var imminent swf.Message
		if run.EndTime != nil || json.Unmarshal(run.RunConditions, &imminent) != nil || imminent.ExecutionID() != execution {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, publishTime)
		defer cancel()
		err := r.base.Send(ctx, swf.TopicWorkflow, swf.Message{
			"msg_type": swf.MsgEndRun, "execution_id": execution, "run_id": strconv.FormatInt(run.RunNumber, 10),
			"timestamp": swf.NaiveStamp(time.Now()), "reason": reasonLost,
		})
		if err != nil {
			r.log.Warn("the agents could not be told that a run is lost", "run_id", run.RunNumber, "err", err)
		}
	}
	return nil
}
