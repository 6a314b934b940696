package brokers_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/test/brokers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long an answer that must come may take; it is no verdict.
const patience = 60 * time.Second

// TestCommands sends commands from the MCP server's login to ann's manager,
// through each real broker with deploy/'s configuration and permissions.
func TestCommands(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...string) *brokers.Server{"classic": brokers.Classic, "artemis": brokers.Artemis} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, start(t, "ann"))
			stop := h.manager()
			h.want(control.Command{Verb: control.StartTestbed}, control.Succeeded, swf.TestbedRunning)
			h.want(control.Command{Verb: control.StartTestbed}, control.Refused, swf.TestbedRunning)
			h.want(control.Command{Verb: control.StopTestbed}, control.Succeeded, swf.TestbedStopped)
			h.forged()
			h.broken()
			stop()
			h.late()
		})
	}
}

// host is one user's host and a client elsewhere.
type host struct {
	t      *testing.T
	broker *brokers.Server
	paths  config.Paths
	key    control.Key
	bus    *amq.Conn
	client *control.Client
}

func newHost(t *testing.T, s *brokers.Server) *host {
	t.Helper()
	if _, err := supervisor.FindBinary("", os.Getenv); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs supervisord: ", err)
	}
	dir, err := os.MkdirTemp("", "swf-b-") // short: it holds a socket
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, broker: s, key: control.NewKey(), paths: config.Paths{Dir: dir, State: filepath.Join(dir, "s"), Config: filepath.Join(dir, "c")}}
	h.write("agents.supervisord.conf", fmt.Sprintf(`[unix_http_server]
file=%[1]s/s/sup.sock
[supervisord]
pidfile=%%(here)s/sup.pid
logfile=%%(here)s/logs/supervisord.log
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:workflow-runner]
command=/bin/sleep 3600
autostart=false
startsecs=1
[program:example-data-agent]
command=/bin/sleep 3600
autostart=false
startsecs=3
`, dir))
	h.write("workflows/testbed.toml", "[testbed]\nnamespace = \"bench\"\n[agents.data]\nenabled = true\n")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := h.testbed().Stop(ctx, nil); err != nil {
			t.Error("sweep: ", err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	h.bus = amq.New(h.options(brokers.MCP))
	h.run(h.bus.Run)
	h.client = h.clientWith(h.key)
	return h
}

func (h *host) write(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.paths.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) options(login string) amq.Options {
	return amq.Options{Addr: h.broker.Addr(), Login: login, Passcode: brokers.Passcode(login), BackoffMin: 10 * time.Millisecond, BackoffMax: 200 * time.Millisecond}
}

// run runs a daemon until the returned function is called or the test ends.
func (h *host) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = f(ctx) })
	stop = func() { cancel(); wg.Wait() }
	h.t.Cleanup(stop)
	return stop
}

func (h *host) clientWith(key control.Key) *control.Client {
	c := control.NewClient(control.ClientOptions{Bus: h.bus, Keys: func(string) control.Ring { return key.Ring() }, Login: brokers.MCP, Source: "test"})
	h.t.Cleanup(c.Close)
	return c
}

func (h *host) testbed() *manager.Testbed {
	return manager.NewTestbed(manager.TestbedOptions{
		Username: "ann", Paths: h.paths, Sources: config.Sources{Dir: h.paths.Dir},
		Environ: func(extra map[string]string) ([]string, error) {
			env := []string{"PATH=" + os.Getenv("PATH"), "USER=ann", "SWF_HOME=" + filepath.Dir(h.paths.Dir)}
			for k, v := range extra {
				env = append(env, k+"="+v)
			}
			return env, nil
		},
		Binary: func() (string, error) { return supervisor.FindBinary("", os.Getenv) },
	})
}

// manager starts ann's manager and returns once it takes commands.
func (h *host) manager() (stop func()) {
	h.t.Helper()
	ready := make(chan struct{})
	m := manager.New(manager.Options{Username: "ann", Paths: h.paths, Testbed: h.testbed(), Broker: h.options("ann"), Keys: h.key.Ring,
		LegacyQueue: true, Ready: func() { close(ready) }})
	stop = h.run(m.Run)
	select {
	case <-ready:
	case <-time.After(patience):
		h.t.Fatalf("the manager is not ready; the broker says:\n%.3000s", h.broker.Log())
	}
	return stop
}

// ask sends a command and returns what came within the patience.
func (h *host) ask(cmd control.Command, heard func(control.Reply)) control.Reply {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd.Username, cmd.IssuedBy = "ann", "ann"
	r, err := h.client.Ask(ctx, cmd, heard)
	if err != nil {
		h.t.Error(err)
	}
	return r
}

// want sends a command, wants an outcome, and then the testbed in a state.
func (h *host) want(cmd control.Command, outcome control.Outcome, state swf.TestbedState) {
	h.t.Helper()
	if r := h.ask(cmd, nil); r.Outcome != outcome {
		h.t.Errorf("%s: %s %+v, want %s", cmd.Verb, r.Outcome, r.Error, outcome)
	}
	if r := h.ask(control.Command{Verb: control.Status}, nil); r.Pong == nil || r.Pong.State != state {
		h.t.Errorf("after %s: %+v, want %s", cmd.Verb, r.Pong, state)
	}
}

// forged sends what another key signed: it is dropped without an answer, and
// the manager takes the next command.
func (h *host) forged() {
	h.t.Helper()
	told := h.sent(control.NewKey(), control.Command{Verb: control.StartTestbed, Username: "ann", IssuedBy: "ann"}, func() {
		if r := h.ask(control.Command{Verb: control.Status}, nil); r.Pong == nil || r.Pong.State != swf.TestbedStopped {
			h.t.Errorf("after a forged start: %+v", r.Pong)
		}
	})
	if told.Outcome != control.Pending {
		h.t.Errorf("a forged command was answered: %+v", told)
	}
}

// sent asks with that key until then returns, which is called once the command
// has gone out.
func (h *host) sent(key control.Key, cmd control.Command, then func()) control.Reply {
	h.t.Helper()
	ctx, enough := context.WithTimeout(context.Background(), patience)
	defer enough()
	out, answer := make(chan struct{}), make(chan control.Reply, 1)
	c := control.NewClient(control.ClientOptions{Bus: telling{h.bus, sync.OnceFunc(func() { close(out) })},
		Keys: func(string) control.Ring { return key.Ring() }, Login: brokers.MCP, Source: "test"})
	defer c.Close()
	go func() {
		r, err := c.Ask(ctx, cmd, nil)
		if err != nil {
			h.t.Error(err)
		}
		answer <- r
	}()
	select {
	case <-out:
		then()
	case r := <-answer:
		return r
	}
	enough()
	return <-answer
}

// telling is a bus that tells when something has gone out.
type telling struct {
	*amq.Conn
	out func()
}

func (b telling) Publish(ctx context.Context, m amq.Message) error {
	err := b.Conn.Publish(ctx, m)
	if err == nil {
		b.out()
	}
	return err
}

// broken kills the broker once a start was accepted: it goes on, once, and its
// outcome is told after the broker's return.
func (h *host) broken() {
	h.t.Helper()
	cmd := control.Command{Verb: control.StartTestbed, ID: control.NewID()}
	accepted, outcome := make(chan struct{}), make(chan control.Reply, 1)
	var once sync.Once
	go func() {
		outcome <- h.ask(cmd, func(control.Reply) { once.Do(func() { close(accepted) }) })
	}()
	select {
	case <-accepted:
	case <-time.After(patience):
		h.t.Fatal("the start was not accepted")
	}
	h.broker.Kill(h.t)
	h.broker.Start(h.t)
	if r := <-outcome; r.Outcome != control.Succeeded || len(r.Programs) != 2 {
		h.t.Errorf("the start over a broken broker: %+v", r)
	}
	if r := h.ask(cmd, nil); r.Outcome != control.Succeeded {
		h.t.Errorf("the same id again: %+v", r)
	}
	h.want(control.Command{Verb: control.StopTestbed}, control.Succeeded, swf.TestbedStopped)
}

// late leaves a start in the broker while no manager runs, over a crash of the
// broker and past its time: it never runs, and its outcome says so.
func (h *host) late() {
	h.t.Helper()
	now := time.Now()
	cmd := control.Command{Verb: control.StartTestbed, ID: control.NewID(), Username: "ann", IssuedBy: "ann", IssuedAt: now, ExpiresAt: now.Add(3 * time.Second)}
	past := func() { <-time.After(time.Until(cmd.ExpiresAt)) } // the broker has stored it by then
	if r := h.sent(h.key, cmd, past); r.Outcome != control.Pending {
		h.t.Errorf("a start without a manager: %+v", r)
	}
	h.broker.Kill(h.t)
	h.broker.Start(h.t)
	h.manager()
	r := h.ask(control.Command{Verb: control.Status, Of: &control.Of{CommandID: cmd.ID}}, nil)
	if r.Of == nil || r.Of.Outcome != control.Expired {
		h.t.Errorf("the late start: %+v", r)
	}
	if r := h.ask(control.Command{Verb: control.Status}, nil); r.Pong == nil || r.Pong.State != swf.TestbedStopped {
		h.t.Errorf("after the late start: %+v", r.Pong)
	}
}
