package faults

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// step is an operation as the model sees it. The state of a testbed is the pid
// of its runner, 0 when it is stopped.
type step struct {
	verb control.Verb // crash is ""
	pid  int          // of a start that succeeded, or that a status saw
	kind string       // what it came to: ran, turned away, nothing
}

const (
	ran     = "ran"
	running = "refused: it runs"
	nothing = "no effect"
)

// model is one user's testbed.
var model = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, _ any) (bool, any) {
		pid, s := state.(int), input.(step)
		switch {
		case s.kind == nothing:
			return true, pid
		case s.kind == running:
			return pid != 0, pid
		case s.verb == control.StartTestbed:
			return pid == 0, s.pid
		case s.verb == control.Status:
			return pid == s.pid, pid
		}
		return true, 0 // a stop, or a crash
	},
	DescribeOperation: func(input, _ any) string { return fmt.Sprint(input) },
}

// linearizable checks each user's history: is there one order of all commands,
// true to the times, that explains every answer?
func (s *site) linearizable() (operations int, wrong string) {
	for _, u := range s.users {
		ops := s.steps(u)
		operations += len(ops)
		switch porcupine.CheckOperationsTimeout(model, ops, patience) {
		case porcupine.Illegal:
			wrong = fmt.Sprintf("not linearizable (%s, %d operations)", u.name, len(ops))
		case porcupine.Unknown:
			wrong = fmt.Sprintf("not decided in time (%s, %d operations)", u.name, len(ops))
		}
	}
	return operations, wrong
}

func (s *site) steps(u *user) []porcupine.Operation {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	started := make(map[int]bool)
	known := make(map[string]bool)
	var ops []porcupine.Operation
	add := func(client int, in step, from, to time.Time) {
		ops = append(ops, porcupine.Operation{ClientId: client, Input: in, Call: from.UnixNano(), Return: max(to.UnixNano(), from.UnixNano())})
	}
	for _, op := range s.history.ops {
		if op.user != u || !op.cmd.Verb.Effect() || op.final.FinishedAt == nil || known[op.cmd.ID] {
			continue
		}
		known[op.cmd.ID] = true // its copies are the same operation
		in := effectStep(op)
		if in.verb == control.StartTestbed && in.kind == ran {
			started[in.pid] = true
		}
		add(op.client, in, op.called, *op.final.FinishedAt)
	}
	for _, op := range s.history.ops {
		if op.user != u || op.cmd.Verb != control.Status || op.err != nil || op.heard.Pong == nil {
			continue
		}
		pid := runner(op.heard.Programs)
		stopped := pid == 0 && op.heard.Pong.State == swf.TestbedStopped
		if stopped || started[pid] && op.heard.Pong.State == swf.TestbedRunning {
			add(op.client, step{control.Status, pid, ran}, op.called, op.returned)
		}
	}
	for _, c := range u.crashes {
		add(0, step{kind: ran}, c.from, c.to)
	}
	return ops
}

func effectStep(op *operation) step {
	in := step{verb: op.cmd.Verb, kind: nothing}
	switch {
	case op.final.Outcome == control.Succeeded:
		in.kind, in.pid = ran, runner(op.final.Programs)
	case code(op.final) == swf.CodeAgentsRunning:
		in.kind = running
	}
	if in.verb == control.StopTestbed && op.final.Outcome == control.Failed {
		in.kind = ran // it may have stopped something; the model is asked only whether what follows fits
	}
	return in
}

func runner(programs []swf.Program) int {
	for _, p := range programs {
		if p.Name == "workflow-runner" && p.State == swf.ProgramRunning {
			return p.PID
		}
	}
	return 0
}
