package manager

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// elsewhere is another host of the same user: another folder, the same broker
// and key.
func (b *bench) elsewhere() *bench {
	b.t.Helper()
	far := newBench(b.t)
	far.broker, far.key = b.broker, b.key
	return far
}

// start runs that manager until the test ends.
func (b *bench) start(m *Manager) *running {
	r := &running{ready: make(chan struct{}), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	m.o.Ready = func() { close(r.ready) }
	var wg sync.WaitGroup
	wg.Go(func() { r.ended <- m.Run(ctx) })
	b.t.Cleanup(func() { cancel(); wg.Wait() })
	return r
}

// Two managers on two hosts that start at once, an hour apart or not: exactly
// one takes commands, and the other says why it does not.
func TestTwoManagersStartedAtOnce(t *testing.T) {
	t.Parallel()
	near := newBench(t)
	far := near.elsewhere()
	for round := range rounds() {
		skew := []time.Duration{0, time.Hour, -time.Hour}[round%3]
		other := far.new(nil)
		other.newID = func() string { return skewedID(skew) }
		a, b := near.start(near.new(nil)), far.start(other)
		winner := a
		var err error
		select {
		case err = <-a.ended:
			winner = b
		case err = <-b.ended:
		case <-time.After(patience):
			t.Fatalf("round %d: both stay", round)
		}
		if !swf.IsCode(err, swf.CodeManagerRunning) {
			t.Fatalf("round %d: the loser ended with %v", round, err)
		}
		select {
		case <-winner.ready:
		case err := <-winner.ended:
			t.Fatalf("round %d: none stays: %v", round, err)
		}
		near.want(near.ask(control.Command{Verb: control.Ping}), control.Succeeded, "")
		winner.leave(t)
	}
}

// A Python manager of the user answers on the queue of its own name, and knows
// no topic.
func TestAPythonManagerIsInCharge(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conn := amq.New(b.broker)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = conn.Run(ctx) })
	defer func() { cancel(); wg.Wait() }()
	python := conn.Subscribe(swf.LegacyControlQueue("ann"), amq.SubscribeOptions{AutoAck: true}, func(ctx context.Context, d *amq.Delivery) {
		cmd, err := control.DecodeCommand(d.Body)
		if err != nil || cmd.Verb != control.Ping {
			t.Errorf("it was sent %s: %v", d.Body, err)
		}
		body := rawJSON(map[string]string{"status": "alive", "username": "ann", "timestamp": "2026-01-01T00:00:00.000000"})
		_ = conn.Publish(ctx, amq.Message{Destination: cmd.ReplyTo, Body: body})
	})
	<-python.Ready()
	m := b.new(nil)
	m.o.Settle = patience // the answer ends it, not the time
	if err := m.Run(context.Background()); !swf.IsCode(err, swf.CodeManagerRunning) || !strings.Contains(err.Error(), swf.LegacyControlQueue("ann")) {
		t.Errorf("ours ended with %v", err)
	}
}

// Two folders whose supervisord would have one socket are one testbed.
func TestTwoFoldersOneSocket(t *testing.T) {
	b := newBench(t)
	b.manager()
	other := b.elsewhere()
	conf, err := os.ReadFile(filepath.Join(other.dir, "agents.supervisord.conf"))
	if err != nil {
		t.Fatal(err)
	}
	other.write("agents.supervisord.conf", strings.Replace(string(conf), "file="+other.dir, "file="+b.dir, 1))
	if err := other.new(nil).Run(context.Background()); !swf.IsCode(err, swf.CodeManagerRunning) || !strings.Contains(err.Error(), "here already") {
		t.Errorf("the second one: %v", err)
	}
	other.writeFiles() // what sweeps it must not meet the first one's
}

// unseat makes a manager give way, as one in charge elsewhere would.
func (b *bench) unseat(m *Manager) {
	b.t.Helper()
	conn := amq.New(b.broker)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = conn.Run(ctx) })
	defer func() { cancel(); wg.Wait() }()
	m.tenure.mu.Lock()
	rival := control.Announcement{Tenure: skewedID(-time.Hour), Instance: "other", Host: "farm7", PID: 4711, InCharge: true, Over: []string{m.tenure.claim.Tenure}}
	m.tenure.mu.Unlock()
	body, err := rival.Encode()
	if err != nil {
		b.t.Fatal(err)
	}
	signed := map[string]string{control.SignatureHeader: b.key.Sign(control.DomainAnnounce, body)}
	if err := conn.Publish(ctx, amq.Message{Destination: control.ManagersTopic("ann"), Headers: signed, Body: body}); err != nil {
		b.t.Fatal(err)
	}
}

// A manager that gives way leaves its programs alone and names them, in what
// it ends with and in a heartbeat that does not say that the user's manager
// has gone.
func TestGivingWayNamesWhatIsLeft(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	m := b.new(nil)
	r := b.start(m)
	<-r.ready
	b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
	b.unseat(m)
	err := <-r.ended
	if !swf.IsCode(err, swf.CodeManagerRunning) || !strings.Contains(err.Error(), "farm7 with pid 4711") ||
		!strings.Contains(err.Error(), "go on running: example-data-agent, workflow-runner") || !strings.Contains(swf.AsError(err).Hint, "stop-agents") {
		t.Errorf("it ended with %v", err)
	}
	h := b.monitor.last()
	if h.Status != swf.StatusWarning || h.OperationalState == swf.OpExited || !strings.Contains(h.Description, "conflict") || h.Metadata["conflict"] == nil {
		t.Errorf("the last heartbeat: %+v", h)
	}
	await(t, func() bool { return len(b.alive()) > 0 }) // one that was just forked is not seen yet
}

// One that gives way in the middle of a start undoes it.
func TestGivingWayUndoesAStart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	m := b.new(nil)
	r := b.start(m)
	<-r.ready
	progress := make(chan struct{})
	begun := sync.OnceFunc(func() { close(progress) })
	outcome := b.local(control.Command{Verb: control.StartTestbed, ConfigName: "slow"}, func(r control.Reply) {
		if r.Kind == control.Progress {
			begun()
		}
	})
	<-progress
	b.unseat(m)
	b.want(<-outcome, control.Failed, swf.CodeInterrupted)
	if err := <-r.ended; !swf.IsCode(err, swf.CodeManagerRunning) || strings.Contains(err.Error(), "go on running") {
		t.Errorf("it ended with %v", err)
	}
	if left := b.alive(); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
}

// A manager that never was in charge sends no heartbeat: it would be in the
// name of the one that is.
func TestARefusedManagerSendsNoHeartbeat(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.manager()
	far := b.elsewhere()
	far.settle = patience // it is told long before
	if err := far.new(nil).Run(context.Background()); !swf.IsCode(err, swf.CodeManagerRunning) {
		t.Errorf("the second one: %v", err)
	}
	if h := far.monitor.last(); h.InstanceName != "" {
		t.Errorf("it beat: %+v", h)
	}
	for late := time.After(patience); !strings.Contains(b.monitor.last().Description, "has given way"); { // the one in charge tells of it
		select {
		case <-b.monitor.news:
		case <-late:
			t.Fatalf("the one in charge says %q", b.monitor.last().Description)
		}
	}
}
