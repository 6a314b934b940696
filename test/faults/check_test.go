package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// The verdict may not depend on how fast a machine is: a program's own line
// comes this much later than the decision to start it.
const slack = 5 * time.Second

// counts is what a run came to.
type counts struct {
	Broker                     string
	Seed                       uint64
	Commands, Starts, Faults   int
	Lost, Doubled, Late, False int // what may not be: each must be 0
	Unequal                    int // two different outcomes were told for one id
	Pending, Never             int // told "pending", then resolved; never arrived, so never an effect
	Linear                     string
	findings                   []string
}

// String is the line that a run prints.
func (c *counts) String() string {
	return fmt.Sprintf("%s, seed %d: %d commands (%d real starts), %d faults, %d lost, %d doubled, %d late, %d false successes, %d contradicted, %d pending then resolved, %d never arrived, %s",
		c.Broker, c.Seed, c.Commands, c.Starts, c.Faults, c.Lost, c.Doubled, c.Late, c.False, c.Unequal, c.Pending, c.Never, c.Linear)
}

func (c *counts) bad() int { return c.Lost + c.Doubled + c.Late + c.False + c.Unequal }

func (c *counts) find(n *int, format string, args ...any) {
	*n++
	if len(c.findings) < 20 {
		c.findings = append(c.findings, fmt.Sprintf(format, args...))
	}
}

// effect is a line of the effect log.
type effect struct {
	stop bool
	id   string
	pid  int
	at   time.Time
}

// contains is for what /proc gives.
func contains(b []byte, text string) bool { return bytes.Contains(b, []byte(text)) }

func readEffects(path string) ([]effect, error) {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []effect
	for line := range strings.Lines(string(b)) {
		var e effect
		var word string
		var ns int64
		if _, err := fmt.Sscan(line, &word, &e.id, &e.pid, &ns); err != nil {
			return nil, fmt.Errorf("effect log %s: %q: %w", path, line, err)
		}
		e.stop, e.at = word == "stop", time.Unix(0, ns)
		all = append(all, e)
	}
	return all, nil
}

// awaitStarts waits until programs wrote so many starts. A program is RUNNING,
// and may be stopped, a moment before it writes its line.
func (u *user) awaitStarts(n int) {
	u.s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); pause(10 * time.Millisecond) {
		effects, err := readEffects(u.effects())
		if err != nil {
			u.s.t.Fatal(err)
		}
		starts := 0
		for _, e := range effects {
			if !e.stop {
				starts++
			}
		}
		if starts >= n {
			return
		}
	}
	u.s.t.Fatalf("%d starts are not in the effect log of %s", n, u.name)
}

// journaled is what the checker reads of a journal's record.
type journaled struct {
	Intent  string         `json:"intent"`
	Phase   string         `json:"phase"`
	Outcome *control.Reply `json:"outcome"`
}

// readJournal reads it when its manager is dead.
func readJournal(path string) (map[string]journaled, error) {
	all := make(map[string]journaled)
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, ReadOnly: true})
	if err != nil {
		return all, err
	}
	defer db.Close()
	return all, db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("commands")).ForEach(func(k, v []byte) error {
			var j journaled
			err := json.Unmarshal(v, &j)
			all[string(k)] = j
			return err
		})
	})
}

// judge ends the managers, reads the three witnesses and counts.
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
		s.judgeUser(u, effects, journal)
	}
	c.Linear = s.linearizable()
	return c
}

// settled reads the effect log once every start that was told to have
// succeeded is in it: a program is RUNNING a moment before it writes its line.
func (s *site) settled(u *user) ([]effect, error) {
	for deadline := time.Now().Add(slack); ; {
		effects, err := readEffects(u.effects())
		missing := false
		for _, op := range s.history.effects() {
			if op.user == u && op.cmd.Verb == control.StartTestbed && op.succeeded() {
				missing = missing || !slices.ContainsFunc(effects, func(e effect) bool { return e.id == op.cmd.ID && e.pid == runner(op.heard.Programs) })
			}
		}
		if err != nil || !missing || time.Now().After(deadline) {
			return effects, err
		}
		pause(10 * time.Millisecond)
	}
}

func (s *site) judgeUser(u *user, effects []effect, journal map[string]journaled) {
	c := s.counts
	started := make(map[string][]effect)
	for _, e := range effects {
		if !e.stop {
			c.Starts++
			started[e.id] = append(started[e.id], e)
		}
	}
	intervals, seen := acts(u, s.history.effects(), journal), make(map[string]*operation)
	for _, op := range s.history.effects() {
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
		s.judgeEffects(op, started[op.cmd.ID])
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

// judgeEffects is P1, P3 and P4 of one start.
func (s *site) judgeEffects(op *operation, lines []effect) {
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
		if len(lines) == 0 || told.FinishedAt == nil || !hasPID(told.Programs, lines[0].pid) {
			c.find(&c.False, "start %s is told to have succeeded; its program says %v", op.cmd.ID, lines)
		}
	case control.Refused, control.Expired:
		if len(lines) > 0 {
			c.find(&c.Doubled, "start %s had an effect and is told %s", op.cmd.ID, shown(told))
		}
	}
	for _, e := range lines {
		if e.at.After(op.cmd.ExpiresAt.Add(slack)) {
			c.find(&c.Late, "start %s ran %s after it expired", op.cmd.ID, e.at.Sub(op.cmd.ExpiresAt))
		}
		if op.err != nil {
			c.find(&c.False, "start %s ran, and its client was told that nothing was sent", op.cmd.ID)
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
	for _, op := range s.history.effects() {
		if op.user != u || op.cmd.Verb != control.StopTestbed || op.err != nil || op.final.Outcome != control.Succeeded || op.final.FinishedAt == nil {
			continue
		}
		alive := make(map[int]bool)
		for _, e := range effects {
			switch {
			case !e.stop && e.at.Before(op.called):
				alive[e.pid] = true
			case e.stop && alive[e.pid] && e.at.After(*op.final.FinishedAt):
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
	s.t.Log(c)
	record(row, c)
	for _, f := range c.findings {
		s.t.Error(f)
	}
	if c.bad() > 0 || strings.HasPrefix(c.Linear, "not ") {
		s.t.Error("promises broken")
	}
}
