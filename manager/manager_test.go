package manager

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/swf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is one user's host: a broker, a testbed folder with a real
// supervisord's configuration, and a manager that can be stopped and started.
type bench struct {
	t       *testing.T
	dir     string
	paths   config.Paths
	broker  amq.Options
	key     control.Key
	monitor *scriptedMonitor
	client  *control.Client
}

// scriptedMonitor remembers; the real one is tested with the real manager in
// test/e2e.
type scriptedMonitor struct {
	mu    sync.Mutex
	beats []swf.Heartbeat
	ended map[string]any
	fail  bool
	news  chan struct{}
}

func (s *scriptedMonitor) Heartbeat(_ context.Context, h swf.Heartbeat) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return errors.New("away")
	}
	s.beats = append(s.beats, h)
	select {
	case s.news <- struct{}{}:
	default:
	}
	return nil
}

func (s *scriptedMonitor) PatchExecution(_ context.Context, id string, fields map[string]any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = make(map[string]any)
	}
	s.ended[id] = fields["status"]
	return nil
}

func (s *scriptedMonitor) last() swf.Heartbeat {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.beats) == 0 {
		return swf.Heartbeat{}
	}
	return s.beats[len(s.beats)-1]
}

const sleeper = `/bin/sh -c 'echo up; exec sleep 3600'`

// programs of the bench by name; agents map to them in the configurations.
var benchPrograms = map[string]string{
	"workflow-runner":    sleeper,
	"example-data-agent": sleeper,
	"dies":               `/bin/sh -c 'echo last words; exit 3'`,
	"missing":            `/no/such/command`,
	"stubborn":           `/bin/sh -c 'trap "" TERM QUIT; echo up; while :; do sleep 1; done'`,
	"slow":               sleeper,
}

func newBench(t *testing.T) *bench {
	t.Helper()
	if _, err := supervisor.FindBinary("", os.Getenv); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs supervisord: ", err)
	}
	b := &bench{t: t, dir: t.TempDir(), key: control.NewKey(), monitor: &scriptedMonitor{news: make(chan struct{}, 1)}}
	b.paths = config.Paths{Dir: b.dir, State: filepath.Join(b.dir, "s"), Config: filepath.Join(b.dir, "c")}
	b.writeFiles()
	b.startBroker()
	conn := amq.New(b.broker)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = conn.Run(ctx) })
	b.client = control.NewClient(control.ClientOptions{Bus: conn, Key: func(string) control.Key { return b.key }, Source: "test"})
	t.Cleanup(func() { b.client.Close(); cancel(); wg.Wait() })
	t.Cleanup(b.sweep)
	return b
}

// sweep makes sure that no process outlives a test.
func (b *bench) sweep() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := b.testbed().Stop(ctx, nil); err != nil {
		b.t.Error("sweep: ", err)
	}
}

func (b *bench) writeFiles() {
	conf := fmt.Sprintf(`[unix_http_server]
file=%[1]s/s/sup.sock
[supervisord]
pidfile=%%(here)s/sup.pid
logfile=%%(here)s/logs/supervisord.log
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
`, b.dir)
	for name, command := range benchPrograms {
		secs := 0
		if name == "slow" {
			secs = 30
		}
		if name == "dies" {
			secs = 1
		}
		conf += fmt.Sprintf("[program:%s]\ncommand=%s\nautostart=false\nautorestart=true\nstopsignal=QUIT\nstopwaitsecs=2\nstartsecs=%d\nredirect_stderr=true\nstdout_logfile=%%(here)s/logs/%s.log\nenvironment=SWF_TESTBED_CONFIG=\"%%(ENV_SWF_TESTBED_CONFIG)s\"\n",
			name, command, secs, name)
	}
	b.write("agents.supervisord.conf", conf)
	testbed := func(namespace string, agents ...string) string {
		text := fmt.Sprintf("[testbed]\nnamespace = %q\n", namespace)
		for _, a := range agents {
			text += fmt.Sprintf("[agents.%s]\nenabled = true\nprogram = %q\n", strings.ReplaceAll(a, "example-data-agent", "data"), a)
		}
		return text
	}
	b.write("workflows/testbed.toml", testbed("bench", "example-data-agent"))
	b.write("workflows/other.toml", testbed("other", "example-data-agent"))
	b.write("workflows/dies.toml", testbed("bench", "example-data-agent", "dies"))
	b.write("workflows/missing.toml", testbed("bench", "example-data-agent", "missing"))
	b.write("workflows/slow.toml", testbed("bench", "slow"))
	b.write("workflows/stubborn.toml", testbed("bench", "stubborn"))
	b.write("workflows/nowhere.toml", testbed("bench", "nowhere"))
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) startBroker() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = broker.New(broker.Options{}).Serve(ctx, ln) })
	b.t.Cleanup(func() { cancel(); wg.Wait() })
	b.broker = amq.Options{Addr: ln.Addr().String(), BackoffMin: 10 * time.Millisecond, BackoffMax: 50 * time.Millisecond}
}

func (b *bench) testbed() *Testbed {
	return NewTestbed(TestbedOptions{
		Username: "ann", Paths: b.paths,
		Sources: config.Sources{Dir: b.dir},
		Environ: func(extra map[string]string) ([]string, error) {
			env := []string{"PATH=" + os.Getenv("PATH"), "USER=ann", "SWF_HOME=" + filepath.Dir(b.dir)}
			for k, v := range extra {
				env = append(env, k+"="+v)
			}
			return env, nil
		},
		Binary: func() (string, error) { return supervisor.FindBinary("", os.Getenv) },
	})
}

func (b *bench) socket() string {
	b.t.Helper()
	path, err := LocalSocket(b.paths)
	if err != nil {
		b.t.Fatal(err)
	}
	return path
}

// running is a manager under way.
type running struct {
	stop  context.CancelFunc
	ended chan error
}

// manager starts a manager and waits until it takes commands.
func (b *bench) manager() *running {
	b.t.Helper()
	ready := make(chan struct{})
	r := &running{ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	m := New(Options{Username: "ann", Paths: b.paths, Testbed: b.testbed(), Broker: b.broker, Monitor: b.monitor, Key: b.key, Ready: func() { close(ready) }})
	var wg sync.WaitGroup
	wg.Go(func() { r.ended <- m.Run(ctx) })
	b.t.Cleanup(func() { cancel(); wg.Wait() })
	select {
	case <-ready:
	case err := <-r.ended:
		b.t.Fatal("the manager ended: ", err)
	}
	return r
}

func (r *running) leave(t *testing.T) {
	t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		t.Fatal("the manager ended with ", err)
	}
}

// ask sends a command and wants an outcome.
func (b *bench) ask(cmd control.Command) control.Reply {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	cmd.Username, cmd.IssuedBy = "ann", "ann"
	r, err := b.client.Ask(ctx, cmd, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) want(r control.Reply, outcome control.Outcome, code swf.Code) control.Reply {
	b.t.Helper()
	got := swf.Code("")
	if r.Error != nil {
		got = r.Error.Code
		if r.Error.Hint == "" {
			b.t.Errorf("error %s has no hint", got)
		}
	}
	if r.Outcome != outcome || got != code {
		b.t.Fatalf("outcome %s %s, want %s %s: %+v", r.Outcome, got, outcome, code, r.Error)
	}
	return r
}

// alive lists the processes that carry this bench's supervisord in their
// environment.
func (b *bench) alive() []string {
	b.t.Helper()
	var found []string
	procs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range procs {
		env, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(env), "SUPERVISOR_SERVER_URL=unix://"+b.dir) {
			found = append(found, filepath.Base(filepath.Dir(p)))
		}
	}
	return found
}

func names(programs []swf.Program) []string {
	var out []string
	for _, p := range programs {
		out = append(out, p.Name)
	}
	slices.Sort(out)
	return out
}

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
	progress := make(chan struct{}, 64)
	started := make(chan control.Reply, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		r, err := b.client.Ask(ctx, control.Command{Verb: control.StartTestbed, Username: "ann", ConfigName: "slow"}, func(r control.Reply) {
			if r.Kind == control.Progress {
				progress <- struct{}{}
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

func TestForgeriesLeaveNoTrace(t *testing.T) {
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
	err := New(Options{Username: "ann", Paths: b.paths, Testbed: b.testbed(), Broker: b.broker, Key: b.key}).Run(context.Background())
	if !swf.IsCode(err, swf.CodeManagerRunning) {
		t.Errorf("same host: %v", err)
	}
	far := newBench(t) // another host: another folder, the same broker and user
	err = New(Options{Username: "ann", Paths: far.paths, Testbed: far.testbed(), Broker: b.broker, Key: b.key}).Run(context.Background())
	if !swf.IsCode(err, swf.CodeManagerRunning) {
		t.Errorf("another host: %v", err)
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

// killSupervisord ends it as a crash would; its programs become orphans.
func (b *bench) killSupervisord() {
	b.t.Helper()
	d, err := b.testbed().daemon(nil, "")
	if err != nil {
		b.t.Fatal(err)
	}
	pid, err := d.PID(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		b.t.Fatal(err)
	}
	for {
		if _, err := d.PID(context.Background()); errors.Is(err, supervisor.ErrNotRunning) {
			return
		}
	}
}
