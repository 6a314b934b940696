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
// execution but no end that was told. They are never run again.
func (r *Runner) endLost() {
	claims, err := r.o.Runs.Open()
	if err != nil {
		r.log.Error("cannot read the claims of earlier runs", "err", err)
	}
	for _, c := range claims {
		r.log.Warn("an earlier runner ended before it could tell the end of this execution", "execution_id", c.ExecutionID)
		r.base.Outbox().Do("end execution "+c.ExecutionID+" of an earlier runner", func(ctx context.Context) error { return r.lose(ctx, c) })
	}
	if err := r.o.Runs.Sweep(time.Now().Add(-keepClaims)); err != nil {
		r.log.Warn("cannot remove old claims", "err", err)
	}
}

// lose ends one execution in the monitor: as it ended, where that was written
// down, and then whatever the monitor has made of it meanwhile; else as lost,
// unless somebody knew better.
func (r *Runner) lose(ctx context.Context, c control.Claim) error {
	if r.o.Runs.Ended(c.CommandID) {
		return nil // what the earlier runner had put into the outbox told it
	}
	x, err := r.o.Monitor.Execution(ctx, c.ExecutionID)
	if err != nil {
		return err
	}
	switch {
	case x == nil: // it was never made
	case c.Ending != nil && x.Status != c.Ending.Status:
		err = r.o.Monitor.PatchExecution(ctx, c.ExecutionID, c.Ending.Fields())
	case c.Ending == nil && x.Status == swf.ExecutionRunning:
		err = r.o.Monitor.PatchExecution(ctx, c.ExecutionID, control.Lost(reasonLost, time.Now()).Fields())
	}
	if err != nil {
		return err
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
