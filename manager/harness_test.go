package manager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/audit"
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
	keys    func() control.Ring // of the manager; nil: key alone
	monitor *scriptedMonitor
	client  *control.Client
	legacy  bool
	settle  time.Duration // 0: short
	metrics prometheus.Registerer
	tracer  trace.TracerProvider
	audit   *audit.Trail
}

// scriptedMonitor remembers; the real one is tested with the real manager in
// test/e2e.
type scriptedMonitor struct {
	mu    sync.Mutex
	beats []swf.Heartbeat
	ended map[string]any
	logs  []swf.LogEntry
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

func (s *scriptedMonitor) PostLog(_ context.Context, e swf.LogEntry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return errors.New("away")
	}
	s.logs = append(s.logs, e)
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
	b.client = control.NewClient(control.ClientOptions{Bus: conn, Keys: func(string) control.Ring { return b.key.Ring() }, Source: "test"})
	t.Cleanup(func() { b.client.Close(); cancel(); wg.Wait() })
	t.Cleanup(b.sweep)
	return b
}

// sweep makes sure that no process outlives a test.
func (b *bench) sweep() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
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
			secs = 300
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
	b.broker = amq.Options{Addr: "127.0.0.1:0", BackoffMin: 10 * time.Millisecond, BackoffMax: 50 * time.Millisecond}
	b.serveBroker()
}

// serveBroker runs a broker at b's address until the test ends.
func (b *bench) serveBroker() {
	ln, err := net.Listen("tcp", b.broker.Addr)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = broker.New(broker.Options{}).Serve(ctx, ln) })
	b.t.Cleanup(func() { cancel(); wg.Wait() })
	b.broker.Addr = ln.Addr().String()
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
	m     *Manager
	stop  context.CancelFunc
	ready chan struct{}
	ended chan error
}

func (b *bench) ring() control.Ring {
	if b.keys != nil {
		return b.keys()
	}
	return b.key.Ring()
}

func (b *bench) new(ready func()) *Manager {
	return New(Options{Metrics: b.metrics, Tracer: b.tracer, Audit: b.audit, Username: "ann", Paths: b.paths, Testbed: b.testbed(), Broker: b.broker, Monitor: b.monitor, Keys: b.ring, LegacyQueue: b.legacy, Settle: cmp.Or(b.settle, 50*time.Millisecond), Ready: ready})
}

// manager starts a manager and waits until it takes commands.
func (b *bench) manager() *running {
	b.t.Helper()
	r := b.run()
	select {
	case <-r.ready:
	case err := <-r.ended:
		b.t.Fatal("the manager ended: ", err)
	}
	return r
}

// run starts a manager and does not wait for it.
func (b *bench) run() *running {
	r := &running{ready: make(chan struct{}), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	r.m = b.new(func() { close(r.ready) })
	var wg sync.WaitGroup
	wg.Go(func() { r.ended <- r.m.Run(ctx) })
	b.t.Cleanup(func() { cancel(); wg.Wait() })
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
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd.Username, cmd.IssuedBy = "ann", "ann"
	r, err := b.client.Ask(ctx, cmd, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// local is a command that comes in by the local door, and what came back.
func (b *bench) local(cmd control.Command, heard func(control.Reply)) <-chan control.Reply {
	outcome := make(chan control.Reply, 1)
	cmd.Username, cmd.IssuedBy = "ann", "ann"
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for {
			r, err := AskLocal(ctx, b.socket(), cmd, heard)
			if !swf.IsCode(err, swf.CodeNoManager) || ctx.Err() != nil {
				outcome <- r
				return
			}
		}
	}()
	return outcome
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

// killSupervisord ends it as a crash would; its programs become orphans.
func (b *bench) killSupervisord() {
	b.t.Helper()
	d, err := b.testbed().daemon()
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

// signalSupervisord sends it a signal and returns its pid.
func (b *bench) signalSupervisord(sig syscall.Signal) int {
	b.t.Helper()
	d, err := b.testbed().daemon()
	if err != nil {
		b.t.Fatal(err)
	}
	pid, err := d.PID(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		b.t.Fatal(err)
	}
	return pid
}
