package workflows

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// receive handles one message of the runner's own queue. A message that does
// not bear the runner's key is dropped: it is forged, or from an earlier start.
func (r *Runner) receive(ctx context.Context, d *amq.Delivery) {
	defer func() {
		if err := d.Ack(); err != nil {
			r.log.Warn("could not acknowledge a command; the broker sends it again", "err", err)
		}
	}()
	if err := r.o.Key.Verify(control.DomainCommand, d.Headers[control.SignatureHeader], d.Body); err != nil {
		r.log.Warn("dropped a command", "err", err)
		return
	}
	cmd, err := control.DecodeCommand(d.Body)
	if err != nil {
		r.log.Warn("dropped a command that cannot be read", "err", err)
		return
	}
	if cmd.Username != r.o.Username {
		r.log.Warn("dropped a command for somebody else", "username", cmd.Username)
		return
	}
	if err := cmd.Check(); err != nil {
		r.reply(ctx, cmd, control.Refusal(cmd.ID, err))
		return
	}
	r.obey(ctx, cmd)
}

// obey handles a command that is to be trusted.
func (r *Runner) obey(ctx context.Context, cmd control.Command) {
	if cmd.Verb.Effect() {
		r.serial.Lock()
		defer r.serial.Unlock()
		if answer, ok := r.answer(cmd.ID); ok {
			r.reply(ctx, cmd, answer) // a copy: the same outcome, no second effect
			return
		}
	}
	expired := !time.Now().Before(cmd.ExpiresAt)
	switch {
	case cmd.Verb == control.RunWorkflow:
		r.reply(ctx, cmd, r.remember(r.runWorkflow(ctx, cmd, expired)))
	case expired:
		r.reply(ctx, cmd, r.remember(expiry(cmd)))
	case cmd.Verb == control.StopWorkflow:
		r.stopWorkflow(ctx, cmd)
	case cmd.Verb == control.Status, cmd.Verb == control.Ping:
		r.reply(ctx, cmd, r.status(cmd))
	default:
		r.reply(ctx, cmd, control.Refusal(cmd.ID, swf.E(swf.CodeUnsupported,
			fmt.Sprintf("a workflow runner does not take %s", cmd.Verb), "send it to the agent manager's control queue")))
	}
}

func expiry(cmd control.Command) control.Reply {
	return control.Reply{CommandID: cmd.ID, Kind: control.Final, Outcome: control.Expired,
		Error: swf.E(swf.CodeExpired, "the command came too late and was not begun", "send it again")}
}

// status tells what the runner does at this moment.
func (r *Runner) status(cmd control.Command) control.Reply {
	a := control.Reply{CommandID: cmd.ID, Kind: control.Final, Outcome: control.Succeeded, Namespace: r.o.Namespace, Pong: r.pong()}
	details := Status{}
	if x := r.running(); x != nil {
		details = x.status()
		a.ExecutionID = x.id
	}
	a.Details, _ = json.Marshal(details) // it holds nothing that JSON cannot
	return a
}

// Status is what a runner tells of itself in a status reply's details.
type Status struct {
	Running     bool       `json:"running"`
	ExecutionID string     `json:"execution_id,omitempty"`
	Workflow    string     `json:"workflow,omitempty"`
	Phase       string     `json:"phase,omitempty"` // state/substate of the machine
	RunID       string     `json:"run_id,omitempty"`
	STFs        int        `json:"stf_count"`
	Tick        float64    `json:"tick"` // simulated seconds
	Since       *time.Time `json:"since,omitempty"`
}

// stopWorkflow ends the run at once and answers, on a goroutine of its own,
// when the end has been told.
func (r *Runner) stopWorkflow(ctx context.Context, cmd control.Command) {
	var p control.StopParams
	if err := params(cmd, &p); err != nil {
		r.reply(ctx, cmd, r.remember(control.Refusal(cmd.ID, err)))
		return
	}
	if ended := r.stopBegun(cmd.ID); ended != nil { // a copy: the run may be no longer running, and not ended yet
		r.reply(ctx, cmd, control.Reply{CommandID: cmd.ID, Kind: control.Accepted, ExecutionID: p.ExecutionID})
		r.goWait(func() { r.reply(ctx, cmd, ended()) })
		return
	}
	x := r.running()
	switch {
	case x == nil && p.ExecutionID == "":
		r.reply(ctx, cmd, r.remember(control.Refusal(cmd.ID, swf.E(swf.CodeNotRunning, "no workflow is running", "start one with start_workflow"))))
		return
	case x == nil:
		r.reply(ctx, cmd, r.remember(control.Refusal(cmd.ID, swf.E(swf.CodeNotRunning,
			fmt.Sprintf("no workflow is running, so neither is %.128s", p.ExecutionID), "see how it ended in the monitor"))))
		return
	case p.ExecutionID != "" && p.ExecutionID != x.id:
		answer := control.Refusal(cmd.ID, swf.E(swf.CodeUnknownExecution,
			fmt.Sprintf("%.128s is not running; %s is", p.ExecutionID, x.id), "give the id of the one that runs, or none"))
		answer.ExecutionID = x.id
		r.reply(ctx, cmd, r.remember(answer))
		return
	}
	x.cancel(stopped(cmd.IssuedBy))
	r.reply(ctx, cmd, control.Reply{CommandID: cmd.ID, Kind: control.Accepted, ExecutionID: x.id})
	ended := sync.OnceValue(func() control.Reply {
		<-x.done
		now := time.Now().UTC()
		return r.remember(control.Reply{
			CommandID: cmd.ID, Kind: control.Final, Outcome: control.Succeeded, ExecutionID: x.id, Namespace: r.o.Namespace,
			Message: fmt.Sprintf("workflow %s ended: %s", x.id, x.ended()), FinishedAt: &now,
		})
	})
	r.mu.Lock()
	r.stops[cmd.ID] = ended
	r.mu.Unlock()
	r.goWait(func() { r.reply(ctx, cmd, ended()) })
}

// stopBegun returns what waits for the end of a stop, nil when there is none of
// that id.
func (r *Runner) stopBegun(id string) func() control.Reply {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stops[id]
}

// params reads the parameters of a command.
func params(cmd control.Command, into any) error {
	if len(cmd.Params) == 0 {
		return nil
	}
	if err := json.Unmarshal(cmd.Params, into); err != nil {
		return swf.E(swf.CodeInvalidArgument, fmt.Sprintf("the parameters of %s are not of their types", cmd.Verb), "see docs/protocol.md").Because(err)
	}
	return nil
}

// goWait runs f on a goroutine that Run waits for, unless the runner is ending.
func (r *Runner) goWait(f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		return false
	}
	r.wait.Go(f)
	return true
}

// answer returns the outcome already given to a command.
func (r *Runner) answer(id string) (control.Reply, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.answers[id]
	return a, ok
}

// remember keeps an outcome for copies of its command.
func (r *Runner) remember(a control.Reply) control.Reply {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.answers[a.CommandID]; !ok {
		r.order = append(r.order, a.CommandID)
	}
	r.answers[a.CommandID] = a
	if len(r.order) > keepAnswers {
		delete(r.answers, r.order[0])
		delete(r.stops, r.order[0])
		r.order = r.order[1:]
	}
	return a
}

// reply signs and sends an answer, if it is wanted on a queue for replies.
func (r *Runner) reply(ctx context.Context, cmd control.Command, a control.Reply) {
	if !swf.IsReplyQueue(cmd.ReplyTo) {
		return
	}
	body, err := a.Encode()
	if err != nil {
		r.log.Error("cannot encode a reply", "command_id", cmd.ID, "err", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), replyTime)
	defer cancel()
	err = r.o.Bus.Publish(ctx, amq.Message{Destination: cmd.ReplyTo, Body: body, Headers: map[string]string{
		"correlation-id":        cmd.ID,
		"persistent":            "false",
		"expires":               strconv.FormatInt(time.Now().Add(control.TTL+control.BrokerSlop).UnixMilli(), 10),
		control.SignatureHeader: r.o.Key.Sign(control.DomainReply, body),
	}})
	if err != nil {
		r.log.Warn("could not send a reply; the command is repeated by its sender", "command_id", cmd.ID, "err", err)
	}
}
