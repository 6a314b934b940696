package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// linger is how much longer a command that nobody has accepted yet is repeated
// after its caller has gone. It is shorter than the time that a server which
// stops gives its handlers.
const linger = 3 * time.Second

// order is a command about to be sent.
type order struct {
	principal swf.Principal
	target    string
	verb      control.Verb
	config    string
	params    any
	key       string // the caller's idempotency key, or ""
	progress  func(string)
}

// send pings, publishes and waits. The Answer is complete but for what only
// its tool knows; the Reply is cleaned, and zero when nothing was published.
func (s *Set) send(ctx context.Context, o order) (Answer, control.Reply) {
	a := Answer{Username: o.target, ControlQueue: s.o.Queue(o.target)}
	cmd, err := s.command(o)
	if err != nil {
		a.refuse(err)
		return a, control.Reply{}
	}
	if s.python(o.target) {
		return s.sendPython(ctx, o, cmd, a)
	}
	r := s.reach(ctx, o.target)
	if err := ctx.Err(); err != nil {
		a.refuse(swf.E(swf.CodeCancelled, "the call was cancelled before anything was sent", "call again if it is still wanted").Because(err))
		return a, control.Reply{}
	}
	if err := r.refusal(o.target); err != nil {
		a.refuse(err)
		if r.brokerErr != nil {
			a.Note = "The manager could not be asked; " + r.lastHeard() + "."
		}
		return a, control.Reply{}
	}
	join := o.key == "" // who brings a key wants the outcome of that very command
	if first, ok := s.pending.outstanding(cmd, s.o.Now()); ok && join && r.pong == nil {
		cmd = first // two would be queued for a manager that does not answer
	}
	reply, err := s.ask(ctx, cmd, o.progress)
	if first, ok := s.pending.holder(cmd, reply); ok && join && err == nil {
		cmd = first // the same start is under way: wait for that one
		reply, err = s.ask(ctx, cmd, o.progress)
	}
	if err != nil {
		a.refuse(err)
		return a, control.Reply{}
	}
	s.conclude(&a, cmd, reply, r)
	return a, reply
}

// command completes the command. The times are set here because the answer
// tells them.
func (s *Set) command(o order) (control.Command, error) {
	now := s.o.Now()
	cmd := control.Command{Verb: o.verb, ID: control.NewID(), Username: o.target, ConfigName: o.config,
		IssuedBy: o.principal.Name, IssuedAt: now, ExpiresAt: now.Add(control.TTL)}
	if o.key != "" {
		cmd.ID = control.KeyedID(o.principal.Name, o.target, o.key)
	}
	if o.params != nil {
		b, err := json.Marshal(o.params)
		if err != nil {
			return cmd, fmt.Errorf("encode params: %w", err)
		}
		cmd.Params = b
	}
	return cmd, cmd.Check()
}

// ask waits for the outcome, longer when somebody sees the progress. The end
// of ctx ends the waiting: at once when the manager has accepted the command,
// else after a few repetitions more, so that a command whose caller hung up is
// not left half sent.
func (s *Set) ask(ctx context.Context, cmd control.Command, progress func(string)) (control.Reply, error) {
	wait := s.o.ShortWait
	if progress != nil {
		wait = s.o.Wait
	}
	held, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	defer cancel()
	var accepted atomic.Bool
	stop := context.AfterFunc(ctx, func() {
		if accepted.Load() {
			cancel()
			return
		}
		time.AfterFunc(linger, cancel)
	})
	defer stop()
	s.pending.remember(cmd)
	r, err := s.o.Commander.Ask(held, cmd, func(r control.Reply) {
		accepted.Store(true)
		if ctx.Err() != nil {
			cancel()
			return
		}
		if progress != nil {
			progress(progressText(r))
		}
	})
	r = cleanReply(r)
	if err == nil && r.Outcome == control.Pending && accepted.Load() {
		r.Kind = control.Accepted // tells conclude that the manager has it
	}
	if err != nil || r.Outcome != control.Pending {
		s.pending.forget(cmd.ID)
	}
	return r, err
}

// progressText says what is going on in the user's words.
func progressText(r control.Reply) string {
	if m := clean(r.Message, 512); m != "" {
		return m
	}
	if r.Kind == control.Accepted {
		return "the agent manager has accepted the command"
	}
	return "the agent manager is at work"
}

// conclude writes the outcome into the answer.
func (s *Set) conclude(a *Answer, cmd control.Command, reply control.Reply, r reach) {
	a.CommandID = cmd.ID
	a.Outcome, a.Error, a.Message = reply.Outcome, reply.Error, reply.Message
	a.Success = reply.Outcome == control.Succeeded
	switch reply.Outcome {
	case control.Succeeded, control.Failed, control.Refused, control.Expired:
	case control.Pending:
		a.pending(cmd, reply.Kind == control.Accepted, r)
	default: // a manager from the future
		a.Outcome = control.Failed
		a.Error = swf.E(swf.CodeUnsupported, fmt.Sprintf("the manager answered with an outcome that is not known here, %q", clean(string(reply.Outcome), 64)),
			"look with get_testbed_status; use the same version on both sides")
	}
	if a.Error == nil && a.Failed() {
		a.Error = swf.E(swf.CodeInternal, "the manager gave no reason", "look at the manager's log, and with get_testbed_status")
	}
}

func (a *Answer) pending(cmd control.Command, accepted bool, r reach) {
	a.Error, a.NextPollMS = nil, nextPollMS
	a.Message = "Not finished yet."
	verb, _, _ := strings.Cut(string(cmd.Verb), "_")
	note := fmt.Sprintf("Do not call %s again; call get_testbed_status(command_id=%q)", verb, cmd.ID)
	until := cmd.ExpiresAt.UTC().Format("15:04:05Z")
	switch {
	case accepted:
		note += ": the agent manager has accepted the command and is at work."
	case r.pong != nil:
		note += fmt.Sprintf(": the agent manager is alive but has not confirmed the command yet. It may still begin until %s, never later.", until)
	default:
		note += fmt.Sprintf(": the agent manager does not answer, but its last heartbeat is only %s old. The command may still begin until %s, never later.", ago(r.age), until)
	}
	a.Note = note
}
