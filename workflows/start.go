package workflows

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// runWorkflow begins a run, or says why not. The claim on the command id is
// the commit point: whoever reads it later knows whether the run began. The
// caller holds r.serial.
func (r *Runner) runWorkflow(ctx context.Context, cmd control.Command, expired bool) control.Reply {
	switch claim, err := r.o.Runs.Read(cmd.ID); {
	case err == nil:
		return r.claimed(cmd, claim)
	case !errors.Is(err, fs.ErrNotExist):
		return r.broken(cmd, err)
	case expired:
		return expiry(cmd)
	}
	if x := r.running(); x != nil {
		return busy(cmd, x)
	}
	x, err := r.prepare(cmd)
	if err != nil {
		return control.Refusal(cmd.ID, err)
	}
	x.id = r.executionID(ctx, cmd.ID, x.run.Workflow)
	if !time.Now().Before(cmd.ExpiresAt) {
		return expiry(cmd) // the monitor took its time
	}
	claim, won, err := r.o.Runs.Claim(control.Claim{
		CommandID: cmd.ID, ExecutionID: x.id, Workflow: x.run.Workflow, Namespace: r.o.Namespace, At: time.Now().UTC(),
	})
	switch {
	case err != nil:
		return r.broken(cmd, err)
	case !won:
		return r.claimed(cmd, claim)
	}
	if !r.launch(ctx, x) {
		return r.broken(cmd, errQuit) // the claim stays open: the next runner ends it as lost
	}
	select { // whoever asks the monitor after our answer finds the run there
	case <-x.noted:
	case <-time.After(noteTime):
	}
	return r.began(cmd, claim)
}

// prepare resolves what is to run. Nothing has an effect yet.
func (r *Runner) prepare(cmd control.Command) (*execution, error) {
	var p control.RunParams
	if err := params(cmd, &p); err != nil {
		return nil, err
	}
	if p.Namespace != "" && p.Namespace != r.o.Namespace {
		return nil, swf.E(swf.CodeWrongNamespace, fmt.Sprintf("the testbed runs in namespace %s, not in %.64s", r.o.Namespace, p.Namespace),
			"leave namespace out, or start the testbed with a configuration of that namespace")
	}
	run, err := config.ResolveRun(r.o.Sources, r.o.Testbed, config.RunRequest{
		Workflow: p.Workflow, Config: p.Config, Realtime: p.Realtime, Duration: p.Duration, Params: p.Params,
	})
	if err != nil {
		if _, unknown := find(r.o.Sources, p.Workflow); p.Workflow != "" && p.Config == "" && swf.IsCode(unknown, swf.CodeUnknownWorkflow) && swf.IsCode(err, swf.CodeUnknownConfig) {
			return nil, unknown // not its configuration is what is missing
		}
		return nil, err
	}
	played, err := newPlayer(r.o.Sources, run, r.o.Getenv)
	if err != nil {
		return nil, err
	}
	return &execution{
		command: cmd.ID, run: run, by: cmd.IssuedBy, since: time.Now().UTC(), noted: make(chan struct{}), done: make(chan struct{}), news: make(chan struct{}, 1), phase: "waiting for agents",
		player: played,
	}, nil
}

// executionID takes the next id from the monitor. Without a monitor the id
// comes from the command, so that the same command always gets the same one.
func (r *Runner) executionID(ctx context.Context, commandID, workflow string) string {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	n, err := r.o.Monitor.NextExecutionSequence(ctx, workflow)
	if err == nil {
		return swf.ExecutionID(workflow, r.o.Username, int(n))
	}
	r.log.Warn("the monitor gave no execution number; the command's id makes one", "err", err)
	sum := sha256.Sum256([]byte(commandID))
	return workflow + "-" + r.o.Username + "-x" + hex.EncodeToString(sum[:4])
}

// claimed answers a command whose claim stands already.
func (r *Runner) claimed(cmd control.Command, c control.Claim) control.Reply {
	if c.ExecutionID != "" {
		return r.began(cmd, c)
	}
	return control.Refusal(cmd.ID, swf.E(swf.CodeSuperseded, "the run was withdrawn before it began: "+c.Withdrawn, "send a new command"))
}

func (r *Runner) began(cmd control.Command, c control.Claim) control.Reply {
	at := c.At
	return control.Reply{
		CommandID: cmd.ID, Kind: control.Final, Outcome: control.Succeeded, ExecutionID: c.ExecutionID, Namespace: c.Namespace,
		Config: r.o.Testbed.Name, Message: fmt.Sprintf("workflow %s began as %s", c.Workflow, c.ExecutionID), FinishedAt: &at,
	}
}

func busy(cmd control.Command, x *execution) control.Reply {
	a := control.Refusal(cmd.ID, swf.E(swf.CodeBusy, fmt.Sprintf("workflow %s is running since %s", x.id, x.since.Format(time.RFC3339)),
		"wait for its end, or call stop_workflow with its execution_id"))
	a.ExecutionID = x.id
	return a
}

// broken answers when the runner itself cannot begin.
func (r *Runner) broken(cmd control.Command, err error) control.Reply {
	r.log.Error("a run could not begin", "command_id", cmd.ID, "err", err)
	return control.Reply{CommandID: cmd.ID, Kind: control.Final, Outcome: control.Failed, Error: swf.E(swf.CodeInternal,
		"the workflow runner could not note the run and did not begin it", "look at the runner's log, then send a new command").Because(err)}
}

// launch makes x the run under way and plays it.
func (r *Runner) launch(ctx context.Context, x *execution) bool {
	x.runner = r
	ctx, x.cancel = context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		return false
	}
	r.current = x
	r.wait.Go(func() { x.perform(ctx) })
	return true
}
