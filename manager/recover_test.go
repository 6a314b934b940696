package manager

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epic-swf/testbed/audit"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// left plants what a manager that was killed would have left in the journal.
func (b *bench) left(records ...*record) {
	b.t.Helper()
	j := openJournal(b.paths.Journal())
	defer j.Close()
	for _, r := range records {
		if err := j.Put(r); err != nil {
			b.t.Fatal(err)
		}
	}
}

func crashed(id string, verb control.Verb, p phase, targets ...string) *record {
	now := time.Now()
	c := control.Command{Verb: verb, ID: id, Username: "ann", IssuedBy: "ann", IssuedAt: now, ExpiresAt: now.Add(control.TTL)}
	return &record{Command: c, Intent: c.Intent(), Phase: p, Targets: targets, AcceptedAt: now}
}

// outcome waits until the manager has concluded a command.
func (b *bench) outcome(id string) control.Reply {
	b.t.Helper()
	for {
		r := b.ask(control.Command{Verb: control.Status, Of: &control.Of{CommandID: id}})
		if r.Of.Outcome != control.Pending {
			return *r.Of
		}
		if r.Of.Error != nil {
			b.t.Fatalf("lookup of %s: %+v", id, r.Of.Error)
		}
	}
}

func (b *bench) startByHand(id string) {
	b.t.Helper()
	if _, err := b.testbed().Start(context.Background(), StartRequest{ID: id}); err != nil {
		b.t.Fatal(err)
	}
}

func TestRecovery(t *testing.T) {
	for _, c := range []struct {
		name    string
		running string // the start id of what runs when the manager comes back
		left    *record
		outcome control.Outcome
		code    swf.Code
		state   swf.TestbedState
	}{
		{"start accepted", "", crashed("x", control.StartTestbed, phaseAccepted), control.Succeeded, "", swf.TestbedRunning},
		{"start begun, nothing touched", "", crashed("x", control.StartTestbed, phaseBegun), control.Failed, swf.CodeInterrupted, swf.TestbedStopped},
		{"start begun, another's testbed up", "cli", crashed("x", control.StartTestbed, phaseBegun), control.Failed, swf.CodeInterrupted, swf.TestbedRunning},
		{"start acting, its own testbed up", "x", crashed("x", control.StartTestbed, phaseActing), control.Failed, swf.CodeInterrupted, swf.TestbedStopped},
		{"start acting, another's testbed up", "cli", crashed("x", control.StartTestbed, phaseActing), control.Failed, swf.CodeInterrupted, swf.TestbedRunning},
		{"stop begun, its target up", "s1", crashed("x", control.StopTestbed, phaseBegun, "s1"), control.Succeeded, "", swf.TestbedStopped},
		{"stop begun, a newer testbed up", "cli", crashed("x", control.StopTestbed, phaseBegun, "s1"), control.Succeeded, "", swf.TestbedRunning},
		{"stop begun, of a start that had not got far", "s1", crashed("x", control.StopTestbed, phaseBegun, "s2", "s1"), control.Succeeded, "", swf.TestbedStopped},
		{"restart that left", "", crashed("x", control.Restart, phaseActing), control.Succeeded, "", swf.TestbedStopped},
		{"run begun, never claimed", "", crashed("x", control.RunWorkflow, phaseBegun), control.Failed, swf.CodeUnconfirmed, swf.TestbedStopped},
		{"stop of a workflow begun", "", crashed("x", control.StopWorkflow, phaseBegun), control.Failed, swf.CodeInterrupted, swf.TestbedStopped},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			if c.running != "" {
				b.startByHand(c.running)
			}
			c.left.Command.ExpiresAt = time.Now().Add(control.TTL)
			b.left(c.left)
			b.manager()
			b.want(b.outcome("x"), c.outcome, c.code)
			if s := b.ask(control.Command{Verb: control.Status}); s.Pong.State != c.state {
				t.Errorf("state %s, want %s", s.Pong.State, c.state)
			}
		})
	}
}

func TestRecoveryOfARunThatTheRunnerClaimed(t *testing.T) {
	b := newBench(t)
	b.left(crashed("x", control.RunWorkflow, phaseBegun))
	runs := control.Runs{Dir: b.paths.Runs()}
	if _, _, err := runs.Claim(control.Claim{CommandID: "x", ExecutionID: "stf_datataking-ann-0007", Workflow: "stf_datataking", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	b.manager()
	if r := b.want(b.outcome("x"), control.Succeeded, ""); r.ExecutionID != "stf_datataking-ann-0007" {
		t.Errorf("execution id %q", r.ExecutionID)
	}
}

func TestAcceptedStartThatExpiredMeanwhile(t *testing.T) {
	b := newBench(t)
	late := crashed("x", control.StartTestbed, phaseAccepted)
	late.Command.ExpiresAt = time.Now().Add(-time.Second)
	b.left(late)
	b.manager()
	b.want(b.outcome("x"), control.Expired, swf.CodeExpired)
	if alive := b.alive(); len(alive) > 0 {
		t.Errorf("running: %v", alive)
	}
}

func TestSupervisordKilledWithLiveAgents(t *testing.T) {
	b := newBench(t)
	b.manager()
	first := b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
	b.killSupervisord()
	b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
	second := b.ask(control.Command{Verb: control.Status})
	await(t, func() bool { return len(b.alive()) == len(first.Programs) }) // one that was just forked is not seen yet
	for _, p := range second.Programs {
		for _, q := range first.Programs {
			if p.State == swf.ProgramRunning && p.PID == q.PID {
				t.Errorf("%s is still the orphan %d", p.Name, p.PID)
			}
		}
	}
}

// A stop that overtook a start is meant for what ran before that start, too:
// here that was orphaned, and the manager was killed in the midst of the stop.
func TestStopOfAStartKnowsWhatRanBefore(t *testing.T) {
	b := newBench(t)
	m := b.manager().m
	first := b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
	b.killSupervisord()
	j, running, release, _ := blocked("second", control.StartTestbed)
	defer close(release)
	m.exec.Enqueue(j)
	<-running
	if ids, want := m.stopTargets(), []string{"second", first.CommandID}; !slices.Equal(ids, want) {
		t.Errorf("a stop is meant for %v, want %v", ids, want)
	}
	p, err := b.testbed().plan(StartRequest{ID: "second"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.testbed().prepare(p); err != nil { // it has written its note and not cleared anything away yet
		t.Fatal(err)
	}
	if ids, want := m.stopTargets(), []string{"second", "second", first.CommandID}; !slices.Equal(ids, want) {
		t.Errorf("then a stop is meant for %v, want %v", ids, want)
	}
	if !b.testbed().Bears(first.CommandID) {
		t.Error("nothing bears the first start's id")
	}
}

func TestStopEndsOrphans(t *testing.T) {
	b := newBench(t)
	b.manager()
	b.want(b.ask(control.Command{Verb: control.StartTestbed, ConfigName: "stubborn"}), control.Succeeded, "")
	b.killSupervisord()
	b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Succeeded, "")
	if left := b.alive(); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
}

func TestRestartLeavesAndIsConcludedByTheNextManager(t *testing.T) {
	b := newBench(t)
	r := b.manager()
	b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
	asked := make(chan control.Reply, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		got, _ := b.client.Ask(ctx, control.Command{Verb: control.Restart, ID: "again", Username: "ann", IssuedBy: "ann"}, nil)
		asked <- got
	}()
	if err := <-r.ended; err != ErrRestart {
		t.Fatal("the manager ended with ", err)
	}
	if left := b.alive(); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
	b.manager()
	b.want(<-asked, control.Succeeded, "")
}

func TestExecutionsOfADeadRunnerAreEnded(t *testing.T) {
	b := newBench(t)
	runs := control.Runs{Dir: b.paths.Runs()}
	claim := control.Claim{CommandID: "x", ExecutionID: "stf_datataking-ann-0008", At: time.Now()}
	if _, _, err := runs.Claim(claim); err != nil {
		t.Fatal(err)
	}
	b.manager()
	for open, err := runs.Open(); len(open) > 0; open, err = runs.Open() {
		if err != nil {
			t.Fatal(err)
		}
		<-b.monitor.news
	}
	b.monitor.mu.Lock()
	defer b.monitor.mu.Unlock()
	if b.monitor.ended[claim.ExecutionID] != swf.ExecutionLost {
		t.Errorf("ended: %v", b.monitor.ended)
	}
}

// What comes in by the local door while the broker is away is this manager's
// own: recovery must not take it for what an earlier one left.
func TestRecoveryLeavesWhatThisManagerAccepted(t *testing.T) {
	b := newBench(t)
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.broker.Addr = away.Addr().String()
	away.Close()
	r := b.run()
	spawned, first := make(chan struct{}), true
	outcome := b.local(control.Command{Verb: control.StartTestbed, ID: "slow", ConfigName: "slow"}, func(r control.Reply) {
		if r.Kind == control.Progress && first {
			first = false
			close(spawned)
		}
	})
	select {
	case <-spawned:
	case r := <-outcome:
		t.Fatalf("the start ended before it had spawned anything: %+v, %v", r, r.Error)
	}
	b.serveBroker()
	<-r.ready
	b.want(<-b.local(control.Command{Verb: control.StopTestbed, ID: "stop"}, nil), control.Succeeded, "")
	b.want(<-outcome, control.Failed, swf.CodeCancelled)
	of := <-b.local(control.Command{Verb: control.Status, Of: &control.Of{CommandID: "slow"}}, nil)
	b.want(*of.Of, control.Failed, swf.CodeCancelled)
	r.leave(t)
	j := openJournal(b.paths.Journal())
	defer j.Close()
	if rec, err := j.Get("slow"); err != nil || rec.Outcome.Error.Code != swf.CodeCancelled {
		t.Errorf("the journal says %+v, %v", rec.Outcome, err)
	}
}

// A manager that is told to leave while it undoes what a crash left finishes
// the undoing.
func TestUndoingIsFinishedOnLeaving(t *testing.T) {
	b := newBench(t)
	b.startByHand("x")
	b.left(crashed("x", control.StartTestbed, phaseActing))
	r := b.run()
	for { // until the undoing has the lock
		lock, err := TryLock(filepath.Join(b.dir, "s", "sup.sock.exec.lock"))
		if err != nil {
			break
		}
		lock.Unlock()
	}
	r.leave(t)
	if alive := b.alive(); len(alive) > 0 {
		t.Errorf("left running: %v", alive)
	}
	j := openJournal(b.paths.Journal())
	defer j.Close()
	rec, err := j.Get("x")
	if err != nil {
		t.Fatal(err)
	}
	b.want(*rec.Outcome, control.Failed, swf.CodeInterrupted)
}

// The hint of a sealed journal says testbed stop-agents: that must then stop,
// by the manager that cannot write it down. From afar nothing is taken. The
// trail has all of it: it is another file.
func TestSealedJournalStillLetsThePersonHereStop(t *testing.T) {
	b := newBench(t)
	var trail bytes.Buffer
	b.audit = audit.New("manager", &trail, nil)
	b.startByHand("x")
	b.write("s/"+filepath.Base(b.paths.Journal()), "not a database, surely")
	r := b.manager()
	b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Refused, swf.CodeJournalSealed)
	b.want(<-b.local(control.Command{Verb: control.StartTestbed}, nil), control.Refused, swf.CodeJournalSealed)
	b.want(<-b.local(control.Command{Verb: control.StopTestbed}, nil), control.Succeeded, "")
	if alive := b.alive(); len(alive) > 0 {
		t.Errorf("left running: %v", alive)
	}
	r.leave(t)
	seen := map[string]bool{}
	for line := range strings.Lines(trail.String()) {
		var a audit.Record
		if err := json.Unmarshal([]byte(line), &a); err != nil || a.Who != "ann" || a.Target != "ann" || a.CommandID == "" {
			t.Errorf("%v: %s", err, line)
		}
		seen[strings.TrimSpace(fmt.Sprintf("%s %s %s %s", a.Action, a.Decision, a.Outcome, a.Code))] = true
	}
	for _, want := range []string{"stop_testbed refused refused journal_sealed", "start_testbed refused refused journal_sealed", "stop_testbed allowed succeeded"} {
		if !seen[want] {
			t.Errorf("nothing on record of %q:\n%s", want, trail.String())
		}
	}
}

func TestStopOfAHungSupervisord(t *testing.T) {
	b := newBench(t)
	b.manager()
	b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
	b.signalSupervisord(syscall.SIGSTOP)
	began := time.Now()
	r := b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Succeeded, "")
	t.Logf("took %.1f s", time.Since(began).Seconds())
	if !strings.Contains(r.Message, "by force") {
		t.Errorf("message %q", r.Message)
	}
	if left := b.alive(); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
}
