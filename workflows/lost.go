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
func (r *Runner) endLost(ctx context.Context) {
	claims, err := r.o.Runs.Open()
	if err != nil {
		r.log.Error("cannot read the claims of earlier runs", "err", err)
	}
	for _, c := range claims {
		r.log.Warn("an earlier runner ended before it could tell the end of this execution", "execution_id", c.ExecutionID)
		r.base.Outbox().Do("end execution "+c.ExecutionID+" of an earlier runner", func(ctx context.Context) error { return r.lose(ctx, c) })
		r.goWait(func() { r.endRunsOf(ctx, c) })
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
	return r.o.Runs.End(c.CommandID)
}

// endRunsOf broadcasts the end_run of an earlier runner's execution until the
// monitor shows that it was heard: that runner may not have sent it, its agents
// may have been stopped together with it and be about to listen only now, and
// what they have to tell of the run may be on its way to the monitor still. Of
// one whose end is known that is likely, so that it is waited for.
func (r *Runner) endRunsOf(ctx context.Context, c control.Claim) {
	ctx, cancel := context.WithTimeout(ctx, unheardTime)
	defer cancel()
	wait := unheardEvery
	if c.Ending != nil {
		wait = unheardMost
	} else if r.endRunOf(ctx, c.ExecutionID) {
		return
	}
	for ; ; wait = min(2*wait, unheardMost) {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		if r.endRunOf(ctx, c.ExecutionID) {
			return
		}
	}
}

// endRunOf broadcasts end_run for the execution's run, unless it has ended. A
// monitor that is away is one that does not know.
func (r *Runner) endRunOf(ctx context.Context, execution string) (ended bool) {
	runs, err := r.o.Monitor.Runs(ctx)
	if err != nil {
		return false
	}
	for _, run := range runs {
		var imminent swf.Message
		if json.Unmarshal(run.RunConditions, &imminent) != nil || imminent.ExecutionID() != execution {
			continue
		}
		if run.EndTime != nil {
			return true
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
	return false
}
