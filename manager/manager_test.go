package manager

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

func TestStartStatusStop(t *testing.T) {
	b := newBench(t)
	b.manager()
	r := b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
	if got := names(r.Programs); !slices.Equal(got, []string{"example-data-agent", "workflow-runner"}) || r.Namespace != "bench" {
		t.Errorf("programs %v in %s", got, r.Namespace)
	}
	for _, p := range r.Programs {
		if p.State != swf.ProgramRunning || p.PID == 0 || p.Since == nil {
			t.Errorf("%s: %s pid %d", p.Name, p.State, p.PID)
		}
	}
	s := b.want(b.ask(control.Command{Verb: control.Status}), control.Succeeded, "")
	if s.Pong.State != swf.TestbedRunning || s.Namespace != "bench" || s.Config != "testbed.toml" {
		t.Errorf("status %+v", s.Pong)
	}
	again := b.want(b.ask(control.Command{Verb: control.StartTestbed, ConfigName: "other"}), control.Refused, swf.CodeAgentsRunning)
	if !strings.Contains(again.Error.Message, "example-data-agent") || !strings.Contains(again.Error.Hint, "stop_user_testbed") {
		t.Errorf("refusal: %+v", again.Error)
	}
	b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Succeeded, "")
	if left := b.alive(); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
	b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Succeeded, "")
	s = b.ask(control.Command{Verb: control.Status})
	if s.Pong.State != swf.TestbedStopped {
		t.Errorf("state %s", s.Pong.State)
	}
}

func TestStartThatCannotSucceed(t *testing.T) {
	b := newBench(t)
	b.manager()
	r := b.want(b.ask(control.Command{Verb: control.StartTestbed, ConfigName: "nothing"}), control.Refused, swf.CodeUnknownConfig)
	if !strings.Contains(r.Error.Hint, "testbed.toml") {
		t.Errorf("hint does not list the configurations: %s", r.Error.Hint)
	}
	b.want(b.ask(control.Command{Verb: control.StartTestbed, ConfigName: "nowhere"}), control.Refused, swf.CodeUnknownProgram)
	for config, wants := range map[string]string{"dies": "last words", "missing": ""} {
		r := b.want(b.ask(control.Command{Verb: control.StartTestbed, ConfigName: config}), control.Failed, swf.CodeStartFailed)
		var failed *swf.Program
		for i, p := range r.Programs {
			if p.Name == config {
				failed = &r.Programs[i]
			}
		}
		if failed == nil || failed.Reason == "" || !strings.Contains(failed.LogTail, wants) {
			t.Errorf("%s: %+v", config, r.Programs)
		}
		if left := b.alive(); len(left) > 0 {
			t.Errorf("%s: left running: %v", config, left)
		}
	}
}

func TestOneEffectPerID(t *testing.T) {
	b := newBench(t)
	b.manager()
	const id = "my-start"
	answers := make([]control.Reply, 20)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = b.ask(control.Command{Verb: control.StartTestbed, ID: id}) })
	}
	wg.Wait()
	for _, r := range answers {
		b.want(r, control.Succeeded, "")
		if r.Programs[0].PID != answers[0].Programs[0].PID {
			t.Errorf("two effects: pids %d and %d", r.Programs[0].PID, answers[0].Programs[0].PID)
		}
	}
	b.want(b.ask(control.Command{Verb: control.StartTestbed, ID: id, ConfigName: "other"}), control.Refused, swf.CodeConflict)
	r := b.ask(control.Command{Verb: control.Status, Of: &control.Of{CommandID: id}})
	if r.Of == nil || r.Of.Outcome != control.Succeeded {
		t.Errorf("lookup: %+v", r.Of)
	}
}

func TestStopOvertakesAStart(t *testing.T) {
	b := newBench(t)
	b.manager()
	progress := make(chan struct{})
	begun := sync.OnceFunc(func() { close(progress) })
	started := make(chan control.Reply, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		r, err := b.client.Ask(ctx, control.Command{Verb: control.StartTestbed, Username: "ann", ConfigName: "slow"}, func(r control.Reply) {
			if r.Kind == control.Progress {
				begun()
			}
		})
		if err != nil {
			t.Error(err)
		}
		started <- r
	})
	<-progress
	b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Refused, swf.CodeBusy)
	late := control.Command{Verb: control.StartTestbed, IssuedAt: time.Now()}
	b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Succeeded, "")
	b.want(<-started, control.Failed, swf.CodeCancelled)
	wg.Wait()
	b.want(b.ask(late), control.Refused, swf.CodeSuperseded)
	if left := b.alive(); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
}

func TestTimes(t *testing.T) {
	b := newBench(t)
	b.manager()
	now := time.Now()
	for _, c := range []struct {
		name            string
		issued, expires time.Time
		outcome         control.Outcome
		code            swf.Code
	}{
		{"late", now.Add(-2 * time.Minute), now.Add(-time.Minute), control.Expired, swf.CodeExpired},
		{"ahead", now.Add(time.Minute), now.Add(2 * time.Minute), control.Refused, swf.CodeClockSkew},
		{"for too long", now, now.Add(time.Hour), control.Refused, swf.CodeInvalidArgument},
		{"before the journal", now.Add(-time.Minute), now.Add(time.Minute), control.Refused, swf.CodeStale},
	} {
		// The client itself would not wait behind expires_at, so publish by hand.
		cmd := control.Command{Verb: control.StartTestbed, ID: control.NewID(), Username: "ann", IssuedBy: "ann", IssuedAt: c.issued, ExpiresAt: c.expires}
		r, err := AskLocal(context.Background(), b.socket(), cmd, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.want(r, c.outcome, c.code)
		look := b.ask(control.Command{Verb: control.Status, Of: &control.Of{CommandID: cmd.ID}})
		if look.Of.Outcome != c.outcome {
			t.Errorf("%s: looked up %s", c.name, look.Of.Outcome)
		}
	}
	if left := b.alive(); len(left) > 0 {
		t.Errorf("running: %v", left)
	}
}

func TestAttack20ForgeriesLeaveNoTrace(t *testing.T) {
	b := newBench(t)
	b.manager()
	conn := amq.New(b.broker)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = conn.Run(ctx) })
	defer func() { cancel(); wg.Wait() }()
	cmd := control.Command{Verb: control.StartTestbed, ID: "burn-me", Username: "ann", IssuedBy: "ann"}
	cmd.Complete(time.Now())
	body, err := cmd.Encode()
	if err != nil {
		t.Fatal(err)
	}
	other := cmd
	other.Username = "bob"
	otherBody, _ := other.Encode()
	for name, m := range map[string]amq.Message{
		"unsigned":         {Body: body},
		"another key":      {Body: body, Headers: map[string]string{control.SignatureHeader: control.NewKey().Sign(control.DomainCommand, body)}},
		"signed as reply":  {Body: body, Headers: map[string]string{control.SignatureHeader: b.key.Sign(control.DomainReply, body)}},
		"for another user": {Body: otherBody, Headers: map[string]string{control.SignatureHeader: b.key.Sign(control.DomainCommand, otherBody)}},
		"not JSON":         {Body: []byte("rm -rf"), Headers: map[string]string{control.SignatureHeader: b.key.Sign(control.DomainCommand, []byte("rm -rf"))}},
	} {
		m.Destination = swf.ControlQueue("ann")
		if err := conn.Publish(ctx, m); err != nil {
			t.Fatal(name, err)
		}
	}
	// Everything before it on the queue has been dealt with when this is answered.
	b.want(b.ask(cmd), control.Succeeded, "")
}

func TestSecondManagerIsRefused(t *testing.T) {
	b := newBench(t)
	b.manager()
	err := New(Options{Username: "ann", Paths: b.paths, Testbed: b.testbed(), Broker: b.broker, Keys: b.key.Ring}).Run(context.Background())
	if !swf.IsCode(err, swf.CodeManagerRunning) {
		t.Errorf("same host: %v", err)
	}
	far := newBench(t) // another host: another folder, the same broker and user
	err = New(Options{Username: "ann", Paths: far.paths, Testbed: far.testbed(), Broker: b.broker, Keys: b.key.Ring}).Run(context.Background())
	if !swf.IsCode(err, swf.CodeManagerRunning) {
		t.Errorf("another host: %v", err)
	}
}

func TestLogsAreThereWhenEverythingHasStopped(t *testing.T) {
	b := newBench(t)
	b.manager()
	b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
	b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Succeeded, "")
	look := control.Command{Verb: control.Status, Of: &control.Of{Log: "example-data-agent"}}
	if r := b.want(b.ask(look), control.Succeeded, ""); !strings.Contains(r.Text, "up") {
		t.Errorf("log %q", r.Text)
	}
	look.Of.Log = "nobody"
	if r := b.want(b.ask(look), control.Refused, swf.CodeUnknownProgram); !strings.Contains(r.Error.Hint, "workflow-runner") {
		t.Errorf("hint %q", r.Error.Hint)
	}
}

func TestManagerLeavesAgentsRunning(t *testing.T) {
	b := newBench(t)
	first := b.manager()
	r := b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
	first.leave(t)
	if h := b.monitor.last(); h.Status != swf.StatusExited || h.OperationalState != swf.OpExited {
		t.Errorf("last heartbeat: %+v", h)
	}
	b.manager()
	s := b.ask(control.Command{Verb: control.Status})
	if s.Pong.State != swf.TestbedRunning || s.Programs[1].PID == 0 || names(r.Programs)[0] != "example-data-agent" {
		t.Errorf("after the manager's restart: %+v", s.Programs)
	}
	b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Succeeded, "")
}

func TestHeartbeatSaysSubscribed(t *testing.T) {
	b := newBench(t)
	b.manager()
	for {
		<-b.monitor.news
		if h := b.monitor.last(); h.Status == swf.StatusOK {
			if h.InstanceName != "agent-manager-ann" || !*h.MQConnected || !strings.Contains(h.Description, "MQ: connected") {
				t.Errorf("%+v", h)
			}
			return
		}
	}
}

func TestRunWithoutATestbed(t *testing.T) {
	b := newBench(t)
	b.manager()
	b.want(b.ask(control.Command{Verb: control.RunWorkflow}), control.Refused, swf.CodeNotRunning)
	b.want(b.ask(control.Command{Verb: control.StopWorkflow}), control.Refused, swf.CodeNotRunning)
}

// Two callers of one server use one id for two things: each is told about its
// own command, never about the other's.
func TestConflictIsToldToWhoConflicts(t *testing.T) {
	b := newBench(t)
	b.manager()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	spawned, once := make(chan struct{}), sync.Once{}
	first := make(chan control.Reply, 1)
	go func() {
		r, _ := b.client.Ask(ctx, control.Command{Verb: control.StartTestbed, ID: "same", Username: "ann", IssuedBy: "ann", ConfigName: "slow"},
			func(r control.Reply) {
				if r.Kind == control.Progress {
					once.Do(func() { close(spawned) })
				}
			})
		first <- r
	}()
	<-spawned
	b.want(b.ask(control.Command{Verb: control.StopTestbed, ID: "same"}), control.Refused, swf.CodeConflict)
	b.want(b.ask(control.Command{Verb: control.StopTestbed, ID: "other"}), control.Succeeded, "")
	b.want(<-first, control.Failed, swf.CodeCancelled)
}

// An outcome that cannot be written keeps the executor, not the manager: it
// leaves, and the next one finds the command.
func TestLeavingWithAnOutcomeThatCannotBeWritten(t *testing.T) {
	b := newBench(t)
	m := b.new(nil)
	m.journal = openJournal(b.paths.Journal())
	defer m.journal.Close()
	m.bus = amq.New(m.o.Broker)
	m.journal.seal(errors.New("the disk is gone"))
	leaving, cancel := context.WithCancel(context.Background())
	m.patience = time.Millisecond
	cancel()
	m.side.Go(func() { m.conclude("x", control.Reply{Outcome: control.Succeeded}) })
	if err := m.work(leaving, func(context.Context) {}); err != nil {
		t.Error(err)
	}
}

// A supervisord that hangs keeps nobody from hearing that the manager lives,
// nor from accepting a stop.
func TestHungSupervisordKeepsNobodyWaiting(t *testing.T) {
	b := newBench(t)
	b.manager()
	b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
	pid := b.signalSupervisord(syscall.SIGSTOP)
	if id := b.testbed().StartID(); id == "" {
		t.Error("a hung supervisord has no start id")
	}
	var looks sync.WaitGroup
	for range 2 * maxLookAtOnce {
		looks.Go(func() { b.ask(control.Command{Verb: control.Status}) })
	}
	var stop control.Reply
	looks.Go(func() { stop = b.ask(control.Command{Verb: control.StopTestbed}) })
	for range 20 {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		if _, err := b.client.Ping(ctx, "ann"); err != nil {
			t.Error(err)
		}
		cancel()
	}
	_ = syscall.Kill(pid, syscall.SIGCONT) // the stop may have lost patience with it
	looks.Wait()
	b.want(stop, control.Succeeded, "")
}

// A torn note of the last start hides nothing of what runs, and a stop clears
// it away.
func TestTornNoteOfTheStart(t *testing.T) {
	b := newBench(t)
	b.manager()
	b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
	b.write("s/started.json", `{"start_id":`)
	if r := b.want(b.ask(control.Command{Verb: control.Status}), control.Failed, swf.CodeEnvironment); len(r.Programs) == 0 {
		t.Error("the programs are hidden")
	}
	b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Refused, swf.CodeAgentsRunning)
	b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Succeeded, "")
	b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
}

// A start that a stop overtook before it touched anything says so.
func TestStartOvertakenBeforeItActs(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errOvertaken)
	s, err := b.testbed().Start(ctx, StartRequest{ID: "x", Acting: func() error { t.Error("it acts"); return nil }})
	if !swf.IsCode(err, swf.CodeCancelled) || s.Acted {
		t.Errorf("acted %v, %v", s.Acted, err)
	}
}

// A further copy that comes while its command is being concluded hears the
// outcome, and nothing of it stays behind.
func TestCopyBesideTheConclusion(t *testing.T) {
	b := newBench(t)
	m := b.new(nil)
	m.journal = openJournal(b.paths.Journal())
	defer m.journal.Close()
	known := crashed("x", control.StartTestbed, phaseActing, "")
	if err := m.journal.Put(known); err != nil {
		t.Fatal(err)
	}
	m.conclude("x", control.Reply{Outcome: control.Succeeded}) // between the look into the journal and the repeating
	var last control.Reply
	m.repeat(known, submission{cmd: known.Command, local: func(r control.Reply) { last = r }})
	b.want(last, control.Succeeded, "")
	if len(m.local.byID) != 0 {
		t.Error("a listener is left")
	}
}
