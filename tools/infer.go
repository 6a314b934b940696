package tools

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

const (
	// settling is how long after its expiry a command may still show its effect:
	// a Python manager starts programs one by one.
	settling = 30 * time.Second
	// zones is how far off a naive stamp can be that was read in another zone.
	zones = 15 * time.Hour
)

// guess is a command that was published to a Python manager, and what there
// was before it. After sent is closed all but settled is constant.
type guess struct {
	cmd    control.Command // its params may be completed before it is sent
	intent string          // of the command as it was asked for
	sent   chan struct{}
	reply  control.Reply // more about err
	err    error

	at        time.Time       // of the publishing
	blind     bool            // what ran before is not known
	agents    map[string]bool // the user's live agents; nil: not known
	ran       map[string]bool // the user's executions, for run_workflow
	namespace string
	workflow  string
	execution string // to end

	settled *CommandView // under pending.mu: the first outcome stands
}

// wait reports whether the command was dealt with before ctx ended.
func (g *guess) wait(ctx context.Context) bool {
	select {
	case <-g.sent:
		return true
	default:
	}
	select {
	case <-g.sent:
		return true
	case <-ctx.Done():
		return false
	}
}

// remember notes what there is before the command.
func (g *guess) remember(l *look, user string) {
	g.blind = l.programs() == nil
	g.namespace = l.namespace()
	if l.agentErr != nil {
		return
	}
	g.agents = make(map[string]bool)
	for i := range l.agents {
		if a := &l.agents[i]; worksFor(a, user) && !exited(a) {
			g.agents[a.InstanceName] = true
		}
	}
}

// worksFor reports whether it is an agent of the user, but not the manager.
func worksFor(a *swf.Agent, user string) bool {
	return a.AgentType != swf.AgentTypeManager && swf.AgentOwner(a.InstanceName) == user
}

// infer looks for the effect of the command. A Python manager deals with its
// queue in order, so a status that was asked for after a start or a stop is
// told when that is over.
func (s *Set) infer(ctx context.Context, p swf.Principal, g *guess) *CommandView {
	if v := s.pending.outcome(g); v != nil {
		return v
	}
	v := &CommandView{CommandID: g.cmd.ID, Outcome: control.Pending, NextPollMS: nextPollMS, Inferred: true}
	var seen bool
	switch g.cmd.Verb {
	case control.StartTestbed, control.StopTestbed:
		l := s.lookAround(ctx, p, g.cmd.Username)
		seen = l.programs() != nil || l.agentErr == nil
		v.Programs = l.programs()
		if g.cmd.Verb == control.StartTestbed {
			g.started(&l, v)
		} else {
			g.stopped(&l, v)
		}
	case control.RunWorkflow:
		seen = s.began(ctx, g, v)
	case control.StopWorkflow:
		seen = s.ended(ctx, g, v)
	}
	if v.Outcome == control.Pending && s.o.Now().After(g.cmd.ExpiresAt.Add(settling)) {
		v.NextPollMS = 0
		v.Error = swf.E(swf.CodeUnconfirmed, fmt.Sprintf("%s was published for the Python agent manager of %s, but no effect of it was seen", g.cmd.Verb, g.cmd.Username),
			"see the monitor, and the logs on that user's host"+sharedQueue(g.cmd.Verb))
		v.Outcome, v.Message = control.Failed, ""
		if !seen { // nobody could look
			v.Outcome = Unknown
			return v
		}
	}
	if v.Outcome == control.Pending {
		return v
	}
	now := s.o.Now()
	v.FinishedAt, v.NextPollMS = &now, 0
	return s.pending.settle(g, v)
}

// sharedQueue warns of what makes workflow commands vanish (contract 8.1).
func sharedQueue(v control.Verb) string {
	if v != control.RunWorkflow && v != control.StopWorkflow {
		return ""
	}
	return "; all Python runners share one queue, and one of another namespace drops what it gets"
}

func (g *guess) started(l *look, v *CommandView) {
	fresh := g.heard(l)
	var running, dead, rising []string
	for _, p := range v.Programs {
		switch {
		case p.State == swf.ProgramRunning:
			running = append(running, p.Name)
		case p.State == swf.ProgramFatal:
			dead = append(dead, p.Name)
		case p.State.Active():
			rising = append(rising, p.Name)
		}
	}
	v.Message = fmt.Sprintf("Not seen to be finished: %d programs RUNNING, %d of its agents heard by the monitor.", len(running), fresh)
	shown := "its status shows " + strings.Join(running, ", ") + " RUNNING"
	switch {
	case v.Programs == nil: // it may be in the middle of the start
	case len(dead) > 0:
		v.Outcome, v.InferredFrom = control.Failed, "its status shows "+strings.Join(dead, ", ")+" FATAL"
		v.Message, v.Error = "", swf.E(swf.CodeStartFailed, "not every program started: "+strings.Join(dead, ", ")+" FATAL", "look at their logs on that user's host; the others run on")
	case len(running) == 0 || len(rising) > 0:
	case g.blind && fresh == 0: // they may have run before
	default:
		v.Outcome, v.InferredFrom = control.Succeeded, shown
		v.Message = fmt.Sprintf("%d programs are RUNNING.", len(running))
	}
	if fresh > 0 && v.Outcome != control.Pending {
		v.InferredFrom += fmt.Sprintf("; the monitor hears %d agents that are new", fresh)
	}
}

// heard counts the user's agents that the monitor did not hear before the
// command: each start of a Python agent has a name of its own.
func (g *guess) heard(l *look) int {
	n := 0
	for i := range l.agents {
		a := &l.agents[i]
		if g.agents != nil && worksFor(a, g.cmd.Username) && !exited(a) && !g.agents[a.InstanceName] &&
			a.LastHeartbeat != nil && l.at.Sub(a.LastHeartbeat.Time) <= agentFresh {
			n++
		}
	}
	return n
}

func (g *guess) stopped(l *look, v *CommandView) {
	var left []string
	for i := range l.agents {
		if a := &l.agents[i]; g.agents[a.InstanceName] && !exited(a) {
			left = append(left, a.InstanceName)
		}
	}
	gone := l.agentErr == nil && len(g.agents) > 0 && len(left) == 0
	running := active(v.Programs)
	v.Message = "Not seen to be finished: " + strings.Join(running, ", ") + " may still run."
	if len(running) == 0 {
		v.Message = "Not seen to be finished: the agent manager is silent."
	}
	switch {
	case v.Programs != nil && len(running) == 0:
		v.Outcome, v.InferredFrom = control.Succeeded, "its status shows no program that runs"
		if gone {
			v.InferredFrom += "; the monitor heard all agents exit"
		}
	case v.Programs == nil && gone:
		v.Outcome, v.InferredFrom = control.Succeeded, "the monitor heard all agents exit; the manager is silent"
	default:
		return
	}
	v.Message = "No program runs."
}

// began looks for the execution that was not there before. It reports whether
// the monitor could tell.
func (s *Set) began(ctx context.Context, g *guess, v *CommandView) bool {
	v.Message = "Not seen to be begun: the monitor shows no new execution."
	ctx, cancel := context.WithTimeout(ctx, s.o.PingWait)
	defer cancel()
	list, err := s.o.Monitor.Executions(ctx, monitor.Filter{ExecutedBy: g.cmd.Username, Namespace: g.namespace})
	if err != nil {
		v.Message = "The monitor, which would show the execution, does not answer."
		return false
	}
	for _, e := range slices.Backward(list) { // latest first: the first new one is the last
		name, _, _ := strings.Cut(e.ExecutionID, "-")
		if g.ran[e.ExecutionID] || name != g.workflow || e.ExecutedBy != g.cmd.Username || e.Namespace == nil || *e.Namespace != g.namespace ||
			e.StartTime.Before(g.at.Add(-zones)) {
			continue
		}
		id := clean(e.ExecutionID, 128)
		v.Outcome, v.ExecutionID, v.Message = control.Succeeded, id, "The runner has begun "+id+"."
		v.InferredFrom = fmt.Sprintf("the monitor shows %s, new since the command, as %s", id, clean(e.Status, 64))
		return true
	}
	return true
}

// ended looks whether the execution still runs.
func (s *Set) ended(ctx context.Context, g *guess, v *CommandView) bool {
	v.ExecutionID, v.Message = g.execution, "Not seen to be ended: the monitor does not answer."
	ctx, cancel := context.WithTimeout(ctx, s.o.PingWait)
	defer cancel()
	e, err := s.o.Monitor.Execution(ctx, g.execution)
	switch {
	case err != nil || e == nil:
		return err == nil
	case e.Status == swf.ExecutionRunning:
		v.Message = "Not seen to be ended: the monitor shows it as running."
	default:
		v.Outcome, v.Message = control.Succeeded, "It is "+clean(e.Status, 64)+"."
		v.InferredFrom = "the monitor shows it as " + clean(e.Status, 64)
	}
	return true
}
