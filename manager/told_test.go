package manager

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

func TestTallyCountsRestarts(t *testing.T) {
	look := func(state swf.ProgramState, pid int) []swf.Program {
		return []swf.Program{{Name: "p", State: state, PID: pid}}
	}
	var c tally
	for i, step := range []struct {
		look []swf.Program
		want int
	}{
		{look(swf.ProgramStarting, 10), 0},
		{look(swf.ProgramRunning, 10), 0},
		{look(swf.ProgramBackoff, 0), 0},
		{look(swf.ProgramRunning, 11), 1},
		{look(swf.ProgramRunning, 12), 2},
		{look(swf.ProgramRunning, 12), 2},
		{look(swf.ProgramStopped, 0), 0},
		{look(swf.ProgramRunning, 13), 0}, // a new start counts anew
	} {
		if got := c.add(step.look)[0].Restarts; got != step.want {
			t.Errorf("look %d: %d restarts, want %d", i, got, step.want)
		}
	}
	var late tally // a manager that came after the restart
	if got := late.add([]swf.Program{{Name: "p", State: swf.ProgramRunning, PID: 5, Restarted: true}})[0].Restarts; got != 1 {
		t.Errorf("a restart before the first look: %d", got)
	}
}

func TestOutcomeEntry(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := outcomeEntry(&record{
		Command:    control.Command{Verb: control.StartTestbed, ID: "id-1", Username: "ann", IssuedBy: "olga", Source: "mcp", ConfigName: "fast"},
		Outcome:    &control.Reply{Outcome: control.Failed, Error: swf.E(swf.CodeStartFailed, "it broke", "mend it")},
		AcceptedAt: at, DoneAt: at.Add(1500 * time.Millisecond), Phase: phaseDone,
	})
	if e.InstanceName != swf.ManagerInstance("ann") || e.FuncName != swf.FuncCommand || e.LevelName != "ERROR" {
		t.Errorf("%+v", e)
	}
	var told commandTold
	if err := json.Unmarshal(e.ExtraData, &told); err != nil {
		t.Fatal(err)
	}
	if told.IssuedBy != "olga" || told.Username != "ann" || told.Code != swf.CodeStartFailed || told.Seconds != 1.5 || told.Outcome != control.Failed {
		t.Errorf("%+v", told)
	}
}

// TestJournalTellsEachOutcomeOnce: also when the record is changed afterwards,
// and never of an id that did not arrive.
func TestJournalTellsEachOutcomeOnce(t *testing.T) {
	j := openJournal(t.TempDir() + "/journal.db")
	defer j.Close()
	var told []string
	j.ended = func(r *record) { told = append(told, r.Command.ID) }
	put := func(id, intent string, p phase) {
		if err := j.Put(&record{Command: control.Command{ID: id}, Intent: intent, Phase: p}); err != nil {
			t.Fatal(err)
		}
	}
	modify := func(id string, p phase) {
		if _, err := j.Modify(id, func(r *record) error { r.Phase = p; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	put("a", "x", phaseAccepted)
	modify("a", phaseBegun)
	modify("a", phaseDone)
	modify("a", phaseDone)
	put("tombstone", "", phaseDone)
	put("refused", "x", phaseDone)
	if len(told) != 2 || told[0] != "a" || told[1] != "refused" {
		t.Errorf("told of %v", told)
	}
}

// cutOff is a monitor whose first answer is cut off by the manager's end.
type cutOff struct {
	bookkeeper
	leave context.CancelFunc
	heard []string
}

func (c *cutOff) PostLog(ctx context.Context, e swf.LogEntry) error {
	if ctx.Err() == nil && c.leave != nil {
		c.leave()
		c.leave = nil
		return errors.New("cut off")
	}
	c.heard = append(c.heard, e.Message[:len("ping")])
	return nil
}

// A manager that leaves while it tells an outcome tells that one, too.
func TestLeavingTellsTheOutcomeAtHand(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	mon := &cutOff{leave: leave}
	m := New(Options{Username: "ann", Monitor: mon})
	for _, verb := range []control.Verb{"one ", "two "} {
		m.report(&record{Command: control.Command{Verb: verb}, Outcome: &control.Reply{}})
	}
	m.tellOutcomes(ctx)
	if want := []string{"one ", "two "}; !slices.Equal(mon.heard, want) {
		t.Errorf("told %q, want %q", mon.heard, want)
	}
}
