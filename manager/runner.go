package manager

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// runnerProgram is the supervised program that executes workflows.
const runnerProgram = "workflow-runner"

// A stop that the runner has not begun after stopBegin it never begins, so
// that nothing stops behind the back of who was told that it is not confirmed.
// stopPatience is how long that and the ending of an execution may take.
const (
	stopBegin    = 10 * time.Second
	stopPatience = 15 * time.Second
)

// Runner passes workflow commands to the runner of a testbed: the same code
// for the manager and for the CLI when no manager runs. Safe for concurrent
// use.
type Runner struct {
	Testbed *Testbed
	Client  *control.Client // publishes to swf.WorkflowQueue under RunnerKey
}

// RunnerKey is the key that the present start made for its runner. Without one
// nothing is sent unsigned: a random key gets no answer, which is the truth.
func (t *Testbed) RunnerKey(string) control.Ring {
	r, err := control.ReadRing(t.o.Paths.RunnerKey())
	if err != nil {
		t.o.Log.Warn("no runner key", "err", err)
		return control.NewKey().Ring()
	}
	return r
}

// Runs are the claims of this testbed's workflow commands.
func (t *Testbed) Runs() control.Runs { return control.Runs{Dir: t.o.Paths.Runs()} }

// alive returns what runs now, or an Error when no runner does.
func (r Runner) alive(ctx context.Context) (Observation, error) {
	seen, err := r.Testbed.Observe(ctx)
	if err != nil {
		return seen, err
	}
	for _, p := range seen.Programs {
		if p.Name == runnerProgram && p.State == swf.ProgramRunning {
			return seen, nil
		}
	}
	return seen, swf.E(swf.CodeNotRunning, "the testbed is not running, so no workflow can", "call start_user_testbed (testbed run) first")
}

// Run passes a run_workflow on and returns its outcome: the runner's answer,
// or failed when the run was withdrawn in time.
func (r Runner) Run(ctx context.Context, c *control.Command, progress Progress) control.Reply {
	var p control.RunParams
	if len(c.Params) > 0 {
		if err := json.Unmarshal(c.Params, &p); err != nil {
			return refusal(swf.E(swf.CodeInvalidArgument, "the parameters of run_workflow are not of their types", "see docs/protocol.md").Because(err))
		}
	}
	seen, err := r.alive(ctx)
	if err != nil {
		return refusal(err)
	}
	if p.Namespace != "" && p.Namespace != seen.Namespace {
		return refusal(swf.E(swf.CodeWrongNamespace, fmt.Sprintf("the testbed runs in namespace %s, not in %s", seen.Namespace, p.Namespace),
			"leave namespace out, or start the testbed with a configuration of that namespace"))
	}
	ctx, cancel := context.WithDeadline(ctx, c.ExpiresAt)
	defer cancel()
	answer, err := r.ask(ctx, c, c.ExpiresAt, progress)
	switch {
	case swf.IsCode(err, swf.CodeBrokerUnavailable):
		return r.GiveUp(c, "the message broker could not be reached")
	case err == nil && answer.Outcome != control.Pending:
		return answer
	}
	return r.GiveUp(c, "the runner did not answer in time")
}

// GiveUp withdraws a run, unless the runner has committed to it: the first
// link decides, and its word is the outcome (design, rule 9).
func (r Runner) GiveUp(c *control.Command, why string) control.Reply {
	r.Testbed.at(AtWithdraw)
	claim, won, err := r.Testbed.Runs().Claim(control.Claim{CommandID: c.ID, Withdrawn: why, At: time.Now()})
	r.Testbed.at(AtWithdrawn)
	switch {
	case err != nil:
		return control.Reply{Outcome: control.Failed, Error: swf.E(swf.CodeUnconfirmed, fmt.Sprintf("%s, and the run could not be withdrawn: %v", why, err),
			"look with get_testbed_status whether it runs all the same").Because(err)}
	case !won && claim.ExecutionID != "":
		return control.Reply{Outcome: control.Succeeded, ExecutionID: claim.ExecutionID, Namespace: claim.Namespace,
			Message: fmt.Sprintf("workflow %s began as %s", claim.Workflow, claim.ExecutionID)}
	}
	return control.Reply{Outcome: control.Failed, Error: swf.E(swf.CodeUnconfirmed, why+"; the run was withdrawn and will not begin",
		"look at the end of the runner's log, then send a new command")}
}

// Stop passes a stop_workflow on and returns its outcome.
func (r Runner) Stop(ctx context.Context, c *control.Command, progress Progress) control.Reply {
	if _, err := r.alive(ctx); err != nil {
		return refusal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	begin := time.Now().Add(stopBegin)
	if c.ExpiresAt.Before(begin) {
		begin = c.ExpiresAt
	}
	answer, err := r.ask(ctx, c, begin, progress)
	if err != nil || answer.Outcome == control.Pending {
		return control.Reply{Outcome: control.Failed, Error: swf.E(swf.CodeUnconfirmed, "the runner did not confirm that it stopped",
			"look with get_testbed_status; if it still runs, stop_user_testbed ends it with all agents")}
	}
	return answer
}

// ask sends the command on, to be begun before expires, and gives up early
// when the runner is gone.
func (r Runner) ask(ctx context.Context, c *control.Command, expires time.Time, progress Progress) (control.Reply, error) {
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(ctx, cancel)
	}()
	defer func() { cancel(); <-watched }()
	r.Testbed.at(AtAsking)
	pass := control.Command{Verb: c.Verb, ID: c.ID, Username: c.Username, Params: c.Params, IssuedBy: c.IssuedBy, IssuedAt: c.IssuedAt, ExpiresAt: expires}
	answer, err := r.Client.Ask(ctx, pass, func(a control.Reply) {
		if a.Kind == control.Progress && progress != nil {
			progress(a.Message, nil)
		}
	})
	r.Testbed.at(AtAnswered)
	return answer, err
}

// watch ends the waiting when no runner is RUNNING any more.
func (r Runner) watch(ctx context.Context, gone func()) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, err := r.alive(ctx); err != nil {
				gone()
			}
		case <-ctx.Done():
			return
		}
	}
}

func refusal(err error) control.Reply {
	return control.Reply{Outcome: control.Refused, Error: swf.AsError(err)}
}
