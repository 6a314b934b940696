package faults

import (
	"fmt"
	"slices"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// The verdict may not depend on how fast a machine is: a program's own line
// comes this much later than the decision to start it.
const slack = 5 * time.Second

// halt is how long a start may stand still and yet go on (design, 3a.6).
const halt = 30 * time.Second

// counts is what a run came to.
type counts struct {
	Broker                     string
	Seed                       uint64
	Commands, Starts, Faults   int
	Lost, Doubled, Late, False int            // what may not be: each must be 0
	Unequal                    int            // two different outcomes were told for one id
	Pending, Never             int            // told "pending", then resolved; never arrived, so never an effect
	Operations                 int            // that one order explains
	Linear                     string         // what is wrong with the order, or ""
	Kinds                      map[string]int // of random faults
	Outcomes                   map[ending]int
	findings                   []string
}

// String is the line that a run prints.
func (c *counts) String() string {
	return fmt.Sprintf("%d commands (%d real starts), %d faults, %d lost, %d doubled, %d late, %d false successes, %d contradicted, %d pending then resolved, %d never arrived, %s",
		c.Commands, c.Starts, c.Faults, c.Lost, c.Doubled, c.Late, c.False, c.Unequal, c.Pending, c.Never, c.order())
}

func (c *counts) bad() int { return c.Lost + c.Doubled + c.Late + c.False + c.Unequal }

func (c *counts) order() string {
	if c.Linear != "" {
		return c.Linear
	}
	return fmt.Sprint(c.Operations, " operations linearizable")
}

func (c *counts) find(n *int, format string, args ...any) {
	*n++
	if len(c.findings) < 20 {
		c.findings = append(c.findings, fmt.Sprintf(format, args...))
	}
}

// judge ends the managers, reads the witnesses and counts.
func (s *site) judge() *counts {
	s.t.Helper()
	c := s.counts
	for _, u := range s.users {
		u.manager.kill()
		effects, err := s.settled(u)
		if err != nil {
			s.t.Error(err)
		}
		journal, err := readJournal(u.paths.Journal())
		if err != nil {
			s.t.Logf("%s has no journal that can be read: %v", u.name, err)
		}
		spawned, err := u.spawned()
		if err != nil {
			s.t.Error(err)
		}
		s.judgeUser(u, effects, journal, spawned)
	}
	c.Operations, c.Linear = s.linearizable()
	c.Outcomes = s.history.tally()
	return c
}

func (s *site) judgeUser(u *user, effects []effect, journal map[string]journaled, spawned map[int]bool) {
	c := s.counts
	started := make(map[string][]effect)
	for _, e := range effects {
		if !e.stop {
			c.Starts++
			started[e.id] = append(started[e.id], e)
		}
	}
	ops := s.history.effects()
	// Of several copies one that was sent is judged: one that was not says
	// nothing of the others.
	slices.SortStableFunc(ops, func(a, b *operation) int {
		switch {
		case (a.err != nil) == (b.err != nil):
			return 0
		case a.err != nil:
			return 1
		}
		return -1
	})
	intervals, seen := acts(u, ops, journal), make(map[string]*operation)
	for _, op := range ops {
		if op.user != u {
			continue
		}
		if first := seen[op.cmd.ID]; first != nil { // a further copy: P1 is judged once
			s.judgeCopy(first, op)
			continue
		}
		seen[op.cmd.ID] = op
		c.Commands++
		s.judgeOutcome(op, journal)
		s.judgeEffects(op, started[op.cmd.ID], spawned)
		s.judgeTime(op, started[op.cmd.ID], journal[op.cmd.ID])
	}
	for id, j := range journal {
		if j.Phase != "done" {
			c.find(&c.Lost, "%s is in the journal of %s, %s, and has no outcome", id, u.name, j.Phase)
		}
	}
	for _, e := range effects {
		if e.stop && !covered(e, intervals) {
			c.find(&c.Doubled, "%s of %s was stopped at %s, when nobody's command was under way", e.id, u.name, e.at.Format(time.StampMicro))
		}
	}
	s.judgeStops(u, effects)
}

// judgeCopy: another client's copy must have heard the same, or of another
// intent that it conflicts.
func (s *site) judgeCopy(first, op *operation) {
	c := s.counts
	if op.err != nil || op.heard.Outcome == control.Pending {
		return
	}
	if first.cmd.Intent() != op.cmd.Intent() {
		if op.heard.Error == nil || op.heard.Error.Code != swf.CodeConflict {
			c.find(&c.Unequal, "%s with another intent was answered %s", op.cmd.ID, shown(op.heard))
		}
		return
	}
	if !same(op.heard, first.final) {
		c.find(&c.Unequal, "%s: one heard %s, later it was %s", op.cmd.ID, shown(op.heard), shown(first.final))
	}
}

// judgeOutcome is P2 and P5: what was accepted, or told, has one outcome.
func (s *site) judgeOutcome(op *operation, journal map[string]journaled) {
	c := s.counts
	j, written := journal[op.cmd.ID]
	heard := op.err == nil && op.heard.Outcome != control.Pending
	switch {
	case heard && !written && unwritten(op.heard): // and that is all that was ever told
	case (op.accepted || heard) && (!written || j.Intent == ""):
		c.find(&c.Lost, "%s %s was told %s, and the journal never had it", op.cmd.Verb, op.cmd.ID, shown(op.heard))
	case (op.accepted || written) && op.final.Outcome == control.Pending:
		c.find(&c.Lost, "%s %s was accepted and has no outcome", op.cmd.Verb, op.cmd.ID)
	case heard && !same(op.heard, op.final):
		c.find(&c.Unequal, "%s %s was told %s, later %s", op.cmd.Verb, op.cmd.ID, shown(op.heard), shown(op.final))
	}
	if op.late {
		c.Pending++
	}
	if !written || j.Intent == "" {
		c.Never++
	}
}

// unwritten is a refusal that says of itself that it could not be written down.
// The command was taken from the broker before that was told, so it never acts;
// asking again later may find nothing of it.
func unwritten(r control.Reply) bool {
	switch code(r) {
	case swf.CodeJournalSealed, swf.CodeDiskFull, swf.CodeEnvironment:
		return r.Outcome == control.Refused
	}
	return false
}

// judgeEffects is P1 and P4 of one start.
func (s *site) judgeEffects(op *operation, lines []effect, spawned map[int]bool) {
	c := s.counts
	if op.cmd.Verb != control.StartTestbed {
		return
	}
	if len(lines) > 1 {
		c.find(&c.Doubled, "%s started %d times", op.cmd.ID, len(lines))
	}
	told := op.heard
	if op.final.Outcome != "" && op.final.Outcome != control.Pending && !op.succeeded() {
		told = op.final
	}
	switch told.Outcome {
	case control.Succeeded:
		ran := len(lines) > 0 && hasPID(told.Programs, lines[0].pid) || len(lines) == 0 && spawned[runner(told.Programs)]
		if told.FinishedAt == nil || !ran {
			c.find(&c.False, "start %s is told to have succeeded; its program says %v", op.cmd.ID, lines)
		}
	case control.Refused, control.Expired:
		if len(lines) > 0 {
			c.find(&c.Doubled, "start %s had an effect and is told %s", op.cmd.ID, shown(told))
		}
	}
	if op.err != nil && len(lines) > 0 {
		c.find(&c.False, "start %s ran, and its client was told that nothing was sent", op.cmd.ID)
	}
}

// judgeTime is P3: nothing is begun once it has expired. What was begun in time
// may take its time, but one that stood still for half a minute is undone.
func (s *site) judgeTime(op *operation, lines []effect, j journaled) {
	c := s.counts
	for _, e := range lines {
		if late := e.at.Sub(op.cmd.ExpiresAt); late > halt+slack || late > 0 && j.AcceptedAt.After(op.cmd.ExpiresAt) {
			c.find(&c.Late, "%s %s ran %s after it expired", op.cmd.Verb, op.cmd.ID, late)
		}
	}
}

func (op *operation) succeeded() bool {
	return op.err == nil && op.heard.Outcome == control.Succeeded
}

// judgeStops is P4 of stops: nothing that began before a stop was asked for
// says goodbye after it was told to have succeeded.
func (s *site) judgeStops(u *user, effects []effect) {
	c := s.counts
	first := make(map[string]time.Time)
	for _, op := range s.history.effects() {
		if at, known := first[op.cmd.ID]; !known || op.called.Before(at) {
			first[op.cmd.ID] = op.called
		}
	}
	for _, op := range s.history.effects() {
		if op.user != u || op.cmd.Verb != control.StopTestbed || op.err != nil || op.final.Outcome != control.Succeeded || op.final.FinishedAt == nil {
			continue
		}
		if first[op.cmd.ID].Before(op.called) {
			continue // a later copy of it: something may have begun since
		}
		type run struct { // pids come again
			id  string
			pid int
		}
		alive := make(map[run]bool)
		for _, e := range effects {
			switch {
			case !e.stop && e.at.Before(op.called):
				alive[run{e.id, e.pid}] = true
			case e.stop && alive[run{e.id, e.pid}] && e.at.After(*op.final.FinishedAt):
				c.find(&c.False, "stop %s succeeded at %s; %s said goodbye at %s", op.cmd.ID, op.final.FinishedAt.Format(time.StampMicro), e.id, e.at.Format(time.StampMicro))
			}
		}
	}
}

// interval is when a command may have been stopping things.
type interval struct{ from, to time.Time }

func acts(u *user, ops []*operation, journal map[string]journaled) []interval {
	var all []interval
	for _, op := range ops {
		if op.user != u || op.err != nil {
			continue
		}
		end := op.final.FinishedAt
		if j, ok := journal[op.cmd.ID]; ok && j.Outcome != nil {
			end = j.Outcome.FinishedAt
		}
		if end == nil || op.final.Outcome == control.Refused || op.final.Outcome == control.Expired {
			continue
		}
		all = append(all, interval{op.called, *end})
	}
	for _, c := range u.crashes {
		all = append(all, interval(c))
	}
	return all
}

func covered(e effect, intervals []interval) bool {
	for _, i := range intervals {
		if !e.at.Before(i.from) && !e.at.After(i.to) {
			return true
		}
	}
	return false
}

func same(a, b control.Reply) bool {
	if (a.FinishedAt == nil) != (b.FinishedAt == nil) || a.FinishedAt != nil && !a.FinishedAt.Equal(*b.FinishedAt) {
		return false
	}
	return a.Outcome == b.Outcome && code(a) == code(b)
}

func code(r control.Reply) swf.Code {
	if r.Error == nil {
		return ""
	}
	return r.Error.Code
}

func shown(r control.Reply) string {
	if r.Error == nil {
		return string(r.Outcome)
	}
	return fmt.Sprintf("%s (%s: %s)", r.Outcome, r.Error.Code, r.Error.Message)
}

func hasPID(programs []swf.Program, pid int) bool {
	for _, p := range programs {
		if p.PID == pid && p.State == swf.ProgramRunning {
			return true
		}
	}
	return false
}

// clean fails the test unless every count that must be 0 is 0.
func (s *site) clean(row string) {
	s.t.Helper()
	c := s.judge()
	s.t.Logf("%s, seed %d: %s", c.Broker, c.Seed, c)
	rows.record(row, c)
	for _, f := range c.findings {
		s.t.Error(f)
	}
	if c.bad() > 0 || c.Linear != "" {
		s.t.Error("promises broken")
	}
}
