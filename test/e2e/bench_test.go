package e2e

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
	"github.com/epic-swf/testbed/workflows"
)

// bench is a testbed of parts: broker, monitor, manager and MCP server, each of
// which may be stopped and started again at its address, and one MCP client.
// supervisord, the runner and the data agent are real processes.
type bench struct {
	t     *testing.T
	dir   string
	user  string
	host  string // a loopback address of its own: nobody else takes a port that is free for a while
	paths config.Paths
	key   control.Key

	broker, monitor, manager, server *part
	brokerAddr, monitorAddr          string
	store                            store.Options // of the monitor

	bus     *amq.Conn
	client  *control.Client // the server's
	history *monitor.Client // what the monitor says, for the server and for the test
	more    []string        // of the environment of processes
}

// hosts numbers the benches.
var hosts atomic.Int64

const sleeper = `/bin/sh -c 'echo up; exec sleep 3600'`

// agent is one of our own programs, which supervisord executes.
func agent(name string) string { return fmt.Sprintf(`"%s" %s`, ours("swf-agent"), name) }

// stock are the programs of a bench: the runner and the data agent are real.
func stock() map[string]string {
	return map[string]string{
		"workflow-runner":    agent("runner"),
		"example-data-agent": agent("data"),
		"plain":              sleeper,
		"missing":            "/no/such/command",
		"chatty":             `/bin/sh -c 'echo these are its last words; exit 3'`,
		"slow":               sleeper,
	}
}

// newBench brings all parts up. The runner and the data agent are replaced by
// programs when some are given.
func newBench(t *testing.T, programs map[string]string) *bench {
	t.Helper()
	return newBenchOn(t, store.Options{}, programs)
}

// newBenchOn is newBench with a monitor on that database; none is SQLite.
func newBenchOn(t *testing.T, database store.Options, programs map[string]string) *bench {
	t.Helper()
	needSupervisord(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	n := hosts.Add(1) + 1
	b := &bench{t: t, dir: folder(t, "b"), user: me.Username, host: fmt.Sprintf("127.0.%d.%d", n/250, n%250+1), key: control.NewKey(), store: database}
	if b.store.DSN == "" {
		b.store.Path = filepath.Join(b.dir, "monitor.db")
	}
	b.paths = config.Paths{Dir: b.dir, State: filepath.Join(b.dir, "s", "swf-testbed"), Config: filepath.Join(b.dir, "c", "swf-testbed")}
	if err := b.paths.Make(); err != nil {
		t.Fatal(err)
	}
	if err := control.WriteKey(b.paths.ControlKey(), b.key); err != nil {
		t.Fatal(err)
	}
	all := stock()
	maps.Copy(all, programs)
	b.writeFiles(all)
	b.startBroker()
	b.startMonitor()
	b.startClient()
	b.startManager()
	b.startServer()
	t.Cleanup(b.close)
	return b
}

// close stops the testbed, then the parts, and whoever listens last goes last.
func (b *bench) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := b.testbed().Stop(ctx, nil); err != nil {
		b.t.Error("sweep: ", err)
	}
	b.server.stop()
	b.manager.stop()
	b.client.Close()
	b.monitor.stop()
	b.broker.stop()
	b.history.Close()
	idle()
}

func (b *bench) writeFiles(programs map[string]string) {
	conf := fmt.Sprintf("[unix_http_server]\nfile=%s/sup.sock\n[supervisord]\npidfile=%%(here)s/sup.pid\nlogfile=%%(here)s/logs/supervisord.log\n"+
		"[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n", b.dir)
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		secs := map[string]int{"slow": 60, "chatty": 60}[name]
		conf += fmt.Sprintf("[program:%s]\ncommand=%s\ndirectory=%%(here)s\nautostart=false\nautorestart=true\nstopsignal=QUIT\nstopwaitsecs=5\nstartsecs=%d\n"+
			"redirect_stderr=true\nstdout_logfile=%%(here)s/logs/%[1]s.log\n", name, programs[name], secs)
	}
	b.write("agents.supervisord.conf", conf)
	b.configure("testbed", "space", "data", "example-data-agent")
	b.configure("other", "elsewhere", "data", "example-data-agent")
	b.configure("plain", "space", "plain", "plain")
	b.configure("missing", "space", "plain", "plain", "missing", "missing")
	b.configure("chatty", "space", "plain", "plain", "chatty", "chatty")
	b.configure("slow", "space", "slow", "slow")
}

// configure writes a configuration of agents and the programs they run as.
func (b *bench) configure(name, namespace string, agents ...string) {
	text := fmt.Sprintf("[testbed]\nnamespace = %q\n\n[workflow]\nname = \"stf_datataking\"\nrealtime = false\n", namespace)
	for pair := range slices.Chunk(agents, 2) {
		text += fmt.Sprintf("\n[agents.%s]\nenabled = true\nprogram = %q\n", pair[0], pair[1])
	}
	b.write("workflows/"+name+".toml", text)
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

// listenAgain retries: the kernel may need a moment to give an address back.
func listenAgain(b *bench, addr string, start func(addr string) (*part, error)) *part {
	b.t.Helper()
	if addr == "" {
		addr = net.JoinHostPort(b.host, "0")
	}
	var p *part
	eventually(b.t, "listen on "+addr, func() (err error) {
		p, err = start(addr)
		return err
	})
	return p
}

func (b *bench) startBroker() {
	b.t.Helper()
	b.broker = listenAgain(b, b.brokerAddr, startBroker)
	b.brokerAddr = b.broker.addr
}

func (b *bench) startMonitor() {
	b.t.Helper()
	b.monitor = listenAgain(b, b.monitorAddr, func(addr string) (*part, error) { return startMonitor(b.store, addr) })
	if b.monitorAddr == "" { // the manager reads it
		b.monitorAddr = b.monitor.addr
	}
}

func (b *bench) brokerOptions() amq.Options {
	return amq.Options{Addr: b.brokerAddr, BackoffMin: 20 * time.Millisecond, BackoffMax: 500 * time.Millisecond}
}

// startClient makes what stands behind the server: like it, it lives through
// the absences of the others.
func (b *bench) startClient() {
	b.bus = amq.New(b.brokerOptions())
	bus := run("", b.bus.Run)
	b.t.Cleanup(bus.stop)
	b.client = control.NewClient(control.ClientOptions{Bus: b.bus, Keys: func(string) control.Ring { return b.key.Ring() }, Source: "e2e"})
	b.history = monitor.New(monitor.Options{URL: "http://" + b.monitorAddr})
}

func (b *bench) startManager() {
	b.t.Helper()
	b.manager = startManager(manager.Options{Username: b.user, Paths: b.paths, Testbed: b.testbed(), Broker: b.brokerOptions(), Monitor: b.history, Keys: b.key.Ring})
	select {
	case <-b.manager.done:
		b.t.Fatal("the manager ended: ", b.manager.err)
	default:
	}
}

func (b *bench) startServer() {
	b.t.Helper()
	var err error
	if b.server, err = startServer(tools.Options{Commander: b.client, Monitor: b.history, ShortWait: time.Minute}, b.user); err != nil {
		b.t.Fatal(err)
	}
}

// environ is what the agents get, and a manager that is a process.
func (b *bench) environ(extra map[string]string) []string {
	host, port, err := net.SplitHostPort(b.brokerAddr)
	if err != nil {
		b.t.Error(err)
	}
	env := []string{
		mark + "=" + b.dir, "GORACE=" + raceOptions(), "PATH=" + os.Getenv("PATH"), "USER=" + b.user, "HOME=" + b.dir, "SWF_HOME=" + filepath.Dir(b.dir),
		"XDG_STATE_HOME=" + filepath.Join(b.dir, "s"), "XDG_CONFIG_HOME=" + filepath.Join(b.dir, "c"), "SWF_SUPERVISORD=" + os.Getenv("SWF_SUPERVISORD"),
		"ACTIVEMQ_HOST=" + host, "ACTIVEMQ_PORT=" + port, "SWF_MONITOR_URL=http://" + b.monitorAddr,
	}
	env = append(env, b.more...)
	for k, v := range extra {
		env = append(env, k+"="+v)
	}
	return env
}

func (b *bench) testbed() *manager.Testbed {
	return manager.NewTestbed(manager.TestbedOptions{
		Username: b.user, Paths: b.paths, Sources: config.Sources{Dir: b.dir, Embedded: workflows.Files},
		Environ: func(extra map[string]string) ([]string, error) { return b.environ(extra), nil },
		Binary:  func() (string, error) { return supervisor.FindBinary("", os.Getenv) },
	})
}

// answer is what a tool answered.
type answer struct {
	t      *testing.T
	tool   string
	doc    map[string]any
	failed bool
}

// call has the MCP client call a tool.
func (b *bench) call(tool, arguments string) answer {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := connect(ctx, b.server.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	doc, failed, err := callTool(ctx, c, tool, arguments)
	if err != nil {
		b.t.Fatalf("%s: %v", tool, err)
	}
	return answer{b.t, tool, doc, failed}
}

// get follows a path; "" for what is not there.
func (a answer) get(path string) string {
	v, err := at(a.doc, path)
	if err != nil {
		return ""
	}
	return plain(v)
}

// want checks what the answer says: pairs of path and value.
func (a answer) want(pairs ...string) answer {
	a.t.Helper()
	for pair := range slices.Chunk(pairs, 2) {
		if got := a.get(pair[0]); got != pair[1] {
			a.t.Fatalf("%s: %s is %q, not %q\n%s", a.tool, pair[0], got, pair[1], shown(a.doc))
		}
	}
	return a
}

// has checks what the answer's values contain.
func (a answer) has(pairs ...string) answer {
	a.t.Helper()
	for pair := range slices.Chunk(pairs, 2) {
		if got := a.get(pair[0]); !strings.Contains(got, pair[1]) {
			a.t.Fatalf("%s: %s is %q, without %q\n%s", a.tool, pair[0], got, pair[1], shown(a.doc))
		}
	}
	return a
}

// start starts a testbed that must come up.
func (b *bench) start(name string) answer {
	b.t.Helper()
	return b.call("start_user_testbed", fmt.Sprintf(`{"config_name":%q}`, name)).want("outcome", "succeeded")
}

// stop stops it, whatever it is doing.
func (b *bench) stop() answer {
	b.t.Helper()
	return b.call("stop_user_testbed", `{"confirm":true}`).want("outcome", "succeeded")
}

// nothingRuns checks that no program and no supervisord is left, at once.
func (b *bench) nothingRuns() {
	b.t.Helper()
	if left := processes(b.dir); len(left) > 0 {
		b.t.Fatalf("still running: %v", left)
	}
}

// log is all that a program has said.
func (b *bench) log(program string) string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "logs", program+".log"))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// execution waits until the monitor has the execution in that status.
func (b *bench) execution(id, status string) *swf.Execution {
	b.t.Helper()
	var x *swf.Execution
	eventually(b.t, id+" is "+status, func() (err error) {
		x, err = b.history.Execution(context.Background(), id)
		if err == nil && (x == nil || x.Status != status) {
			err = fmt.Errorf("the monitor has %+v", x)
		}
		return err
	})
	return x
}
