package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// pythonLease is how long the heartbeat of a Python manager counts: it beats
// every 30 s, so that two may be lost.
const pythonLease = 95 * time.Second

// What Python's MCP server starts when nothing is named (contract 6.1).
const (
	pythonWorkflow = "stf_datataking"
	pythonConfig   = "fast_processing_default"
)

const pythonNote = "This is a Python agent manager: it answers no command, so outcomes are inferred from its status and from the monitor."

// python reports whether a user has a Python manager.
func (s *Set) python(username string) bool { return control.IsPython(s.o.Queue(username), username) }

// sendPython is send for the user of a Python manager, who is sent every
// command once. It answers as soon as the effect can be seen, else pending.
func (s *Set) sendPython(ctx context.Context, o order, cmd control.Command, a Answer) (Answer, control.Reply) {
	wait := s.o.ShortWait
	if o.progress != nil {
		wait = s.o.Wait
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	g, mine := s.pending.enter(cmd, o.key == "", s.o.Now())
	if g.intent != cmd.Intent() {
		a.refuse(swf.E(swf.CodeConflict, "another command has that command_id", "use a new command_id for another command"))
		return a, control.Reply{}
	}
	if mine {
		g.reply, g.err = s.publishOnce(ctx, o, g)
		if g.err != nil {
			s.pending.withdraw(g)
		}
		close(g.sent)
	}
	if !g.wait(ctx) {
		a.refuse(swf.E(swf.CodeCancelled, "another call is still sending the same command", "look with get_testbed_status"))
		return a, control.Reply{}
	}
	if g.err != nil {
		a.refuse(g.err)
		return a, g.reply
	}
	if o.progress != nil {
		o.progress("the command was published, once; a Python agent manager does not answer: watching what happens")
	}
	v := s.watch(ctx, o.principal, g)
	a.infer(g, v)
	return a, control.Reply{Programs: v.Programs, ExecutionID: v.ExecutionID, Namespace: g.namespace}
}

// publishOnce looks, decides whether the command may go out, and publishes it.
// The Reply tells more about a refusal.
func (s *Set) publishOnce(ctx context.Context, o order, g *guess) (control.Reply, error) {
	l := s.lookAround(ctx, o.principal, o.target)
	if err := ctx.Err(); err != nil {
		return control.Reply{}, swf.E(swf.CodeCancelled, "the call was cancelled before anything was sent", "call again if it is still wanted").Because(err)
	}
	if err := l.refusal(o.target); err != nil {
		return control.Reply{}, err
	}
	g.remember(&l, o.target)
	var r control.Reply
	var err error
	switch g.cmd.Verb {
	case control.StartTestbed:
		r.Programs = l.programs()
		if running := active(r.Programs); len(running) > 0 {
			err = swf.E(swf.CodeAgentsRunning, "agents already running: "+strings.Join(running, ", "), "call stop_user_testbed first")
		}
	case control.RunWorkflow:
		r, err = s.prepareRun(ctx, g, &l)
	case control.StopWorkflow:
		err = s.prepareEnd(ctx, g)
	}
	if err != nil {
		return r, err
	}
	g.at = s.o.Now()
	sent, err := s.o.Commander.Ask(ctx, g.cmd, nil)
	if err == nil && sent.Error != nil {
		err = cleanError(sent.Error)
	}
	return r, err
}

// prepareRun completes what a Python runner wants, and refuses what it would
// ignore: it takes no second run, and none in another namespace.
func (s *Set) prepareRun(ctx context.Context, g *guess, l *look) (control.Reply, error) {
	var r control.Reply
	var p control.RunParams
	if err := json.Unmarshal(g.cmd.Params, &p); err != nil {
		return r, fmt.Errorf("decode params: %w", err)
	}
	actual := l.namespace()
	switch {
	case l.agentErr != nil || l.runningErr != nil:
		return r, monitorError(firstError(l.agentErr, l.runningErr))
	case p.Namespace == "" && actual == "":
		return r, swf.E(swf.CodeInvalidArgument, "the namespace of the testbed is not known", "name it: namespace=...")
	case p.Namespace != "" && actual != "" && p.Namespace != actual:
		return control.Reply{Namespace: actual}, swf.E(swf.CodeWrongNamespace, fmt.Sprintf("the testbed runs in namespace %s, not in %s", actual, p.Namespace), "leave namespace out")
	case len(l.running) > 0:
		r.ExecutionID = clean(l.running[0].ExecutionID, 128)
		return r, swf.E(swf.CodeBusy, "a workflow is running: "+r.ExecutionID, "wait for it, or call stop_workflow")
	case l.programs() != nil && len(active(l.programs())) == 0:
		return r, swf.E(swf.CodeNotRunning, "no workflow runner is running", "call start_user_testbed first")
	}
	if p.Namespace == "" {
		p.Namespace = actual
	}
	if p.Workflow == "" || p.Workflow == "fast_processing" { // which names a configuration
		p.Workflow = pythonWorkflow
		if p.Config == "" {
			p.Config = pythonConfig
		}
	}
	g.namespace, g.workflow = p.Namespace, p.Workflow
	list, err := s.o.Monitor.Executions(ctx, monitor.Filter{ExecutedBy: g.cmd.Username})
	if err != nil {
		return r, monitorError(err)
	}
	g.ran = make(map[string]bool, len(list))
	for _, e := range list {
		g.ran[e.ExecutionID] = true
	}
	g.cmd.Params, err = json.Marshal(p)
	return r, err
}

// prepareEnd finds the namespace in which the runner listens.
func (s *Set) prepareEnd(ctx context.Context, g *guess) error {
	var p control.StopParams
	if err := json.Unmarshal(g.cmd.Params, &p); err != nil {
		return fmt.Errorf("decode params: %w", err)
	}
	e, err := s.o.Monitor.Execution(ctx, p.ExecutionID)
	switch {
	case err != nil:
		return monitorError(err)
	case e == nil || e.Status != swf.ExecutionRunning || e.Namespace == nil:
		return unknownExecution(p.ExecutionID)
	}
	p.Namespace, g.namespace, g.execution = *e.Namespace, clean(*e.Namespace, 128), p.ExecutionID
	g.cmd.Params, err = json.Marshal(p)
	return err
}

func firstError(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// watch infers again and again until there is an outcome or ctx ends.
func (s *Set) watch(ctx context.Context, p swf.Principal, g *guess) *CommandView {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		v := s.infer(ctx, p, g)
		if v.Outcome != control.Pending {
			return v
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return v
		}
	}
}

// infer writes into the answer what was seen.
func (a *Answer) infer(g *guess, v *CommandView) {
	a.CommandID, a.Outcome, a.Error, a.Message = v.CommandID, v.Outcome, v.Error, v.Message
	a.Success = v.Outcome == control.Succeeded
	a.Inferred, a.InferredFrom, a.NextPollMS = true, v.InferredFrom, v.NextPollMS
	verb, _, _ := strings.Cut(string(g.cmd.Verb), "_")
	switch {
	case v.Outcome == control.Pending:
		a.Note = fmt.Sprintf("Do not call %s again; call get_testbed_status(command_id=%q). %s The command was published once and may begin until %s.",
			verb, g.cmd.ID, pythonNote, g.cmd.ExpiresAt.UTC().Format("15:04:05Z"))
	case a.Success && g.cmd.Verb == control.StartTestbed && g.cmd.ConfigName != "":
		a.Note = pythonNote + " One that lacks the configuration starts the one it had before: check the namespace."
	default:
		a.Note = pythonNote
	}
}

// guessed tells what became of a command to a Python manager, to those whom it
// concerns. Only the server that sent it knows of it.
func (s *Set) guessed(ctx context.Context, p swf.Principal, user, id string) *CommandView {
	g := s.pending.guess(id)
	if g == nil || g.cmd.Username != user || (g.cmd.IssuedBy != p.Name && !p.MayActOn(user)) {
		return &CommandView{CommandID: id, Outcome: Unknown, Error: swf.E(swf.CodeUnknownID,
			fmt.Sprintf("the agent manager of %s is a Python one, which keeps no record, and this server has sent no such command since it started", user),
			"judge by the state of the testbed and by the monitor")}
	}
	return s.infer(ctx, p, g)
}
