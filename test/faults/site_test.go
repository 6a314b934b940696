package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/test/brokers"
)

// patience is how long a test waits for what must come; it is no verdict on
// speed.
const patience = 60 * time.Second

// site is a broker, some users with a manager each, and clients; every link
// between them goes through a proxy.
type site struct {
	t       testing.TB
	dir     string
	seed    uint64
	rand    *rand.Rand // by that seed, for the test's own goroutine
	kind    kind
	harmed  bool // its broker is its own and may be killed
	broker  node
	clients *link
	users   []*user
	history *history
	counts  *counts
	dead    string // an address where no monitor answers, ever
}

// user is one testbed and its manager.
type user struct {
	s     *site
	name  string
	paths config.Paths
	key   control.Key
	link  *link

	mu      sync.Mutex
	manager *process
	crashes []crash
}

// crash is when a supervisord or a runner was killed, as an operation on its
// testbed.
type crash struct{ from, to time.Time }

// setting is what a site is made of.
type setting struct {
	kind   kind   // of broker
	harmed bool   // the test kills the broker, so a real one is not shared
	users  int    // 1 unless given
	name   string // of the one user, unless a new one will do
	seed   uint64 // of what is random
}

// newSite needs supervisord and the broker; where one is missing the test is
// skipped, with CI set it fails.
func newSite(t testing.TB, as setting) *site {
	t.Helper()
	if as.kind.name == "" {
		as.kind = embedded
	}
	_, err := supervisor.FindBinary("", os.Getenv)
	need(t, err)
	dir, err := os.MkdirTemp(shortTemp(), "ft")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, seed: as.seed, rand: rand.New(rand.NewPCG(as.seed, 0)), kind: as.kind, harmed: as.harmed || as.kind.make == nil,
		dead: nobody, history: &history{}, counts: &counts{Seed: as.seed, Broker: as.kind.name}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("what they said is in ", dir)
			return
		}
		os.RemoveAll(dir)
	})
	var names []string
	for range max(as.users, 1) {
		names = append(names, login(logins.Add(1)))
	}
	if as.name != "" {
		names = []string{as.name}
	}
	s.broker = as.kind.broker(t, dir, as.harmed, names)
	s.clients = newLink(t, s.broker.Addr())
	for _, name := range names {
		s.addUser(name)
	}
	return s
}

// between is a random time.
func (s *site) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.rand.Int64N(int64(most-least)))
}

// shortTemp: paths of sockets may have 99 bytes.
func shortTemp() string {
	if d := os.TempDir(); len(d) < 30 {
		return d
	}
	return "/tmp"
}

// nobody is where nothing answers: no test listens on such a port, while one
// that was free a moment ago may soon be another test's.
const nobody = "127.0.0.1:1"

// killBroker ends it as a crash would; startBroker brings it back with what it
// had stored.
func (s *site) killBroker() {
	s.t.Helper()
	if !s.harmed {
		s.t.Fatal("this broker is shared")
	}
	s.broker.kill()
}

func (s *site) startBroker() {
	s.t.Helper()
	if err := s.broker.start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) addUser(name string) *user {
	s.t.Helper()
	dir := filepath.Join(s.dir, name)
	u := &user{s: s, name: name, key: control.NewKey(), link: newLink(s.t, s.broker.Addr()),
		paths: config.Paths{Dir: dir, State: filepath.Join(dir, "s"), Config: filepath.Join(dir, "c")}}
	if err := u.paths.Make(); err != nil {
		s.t.Fatal(err)
	}
	if err := control.WriteKey(u.paths.ControlKey(), u.key); err != nil {
		s.t.Fatal(err)
	}
	u.writeFiles()
	s.users = append(s.users, u)
	s.t.Cleanup(u.sweep)
	return u
}

// sweep ends the manager, then what runs.
func (u *user) sweep() {
	if u.manager != nil {
		u.manager.kill()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := testbed(u.name, u.paths, nil).Stop(ctx, nil); err != nil {
		u.s.t.Error("sweep: ", err)
	}
}

// program writes a line as it starts and one as it stops: the effect log.
const program = `/bin/sh -c 'echo "start $SWF_START_ID $$ $(date +%%s%%N)" >>%[1]s; trap "echo stop $SWF_START_ID $$ \$(date +%%s%%N) >>%[1]s; kill \$!; exit 0" TERM; sleep 3600 & wait'`

func (u *user) writeFiles() {
	conf := fmt.Sprintf(`[unix_http_server]
file=%[1]s/s/sup.sock
[supervisord]
pidfile=%%(here)s/sup.pid
logfile=%%(here)s/supervisord.log
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
`, u.paths.Dir)
	add := func(name, command string, secs int) {
		conf += fmt.Sprintf("[program:%s]\ncommand=%s\nautostart=false\nautorestart=false\nstopwaitsecs=2\nstartsecs=%d\nredirect_stderr=true\nstdout_logfile=%%(here)s/%[1]s.log\n", name, command, secs)
	}
	effect := fmt.Sprintf(program, u.effects())
	add("workflow-runner", strings.ReplaceAll(effect, "%", "%%"), 0) // supervisord expands percent signs
	add("slow", "/bin/sleep 3600", 1)
	add("dies", `/bin/sh -c 'echo these are its last words; exit 3'`, 30) // not quickly enough for that on no machine
	add("deaf", `/bin/sh -c 'trap "" TERM; while :; do sleep 1; done'`, 0)
	add("loud", `/bin/sh -c 'yes all work and no play | head -c 20000000; exec sleep 3600'`, 0)
	u.write("agents.supervisord.conf", conf)
	u.write("workflows/testbed.toml", "[testbed]\nnamespace = \"faults\"\n")
	for _, agent := range []string{"slow", "dies", "deaf", "loud"} {
		u.write("workflows/"+agent+".toml", fmt.Sprintf("[testbed]\nnamespace = \"faults\"\n[agents.%s]\nenabled = true\nprogram = %[1]q\n", agent))
	}
}

func (u *user) effects() string { return filepath.Join(u.s.dir, u.name+".effects") }

func (u *user) write(name, text string) {
	u.s.t.Helper()
	path := filepath.Join(u.paths.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		u.s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		u.s.t.Fatal(err)
	}
}

// start runs the user's manager and waits until it takes commands.
func (u *user) start() {
	u.s.t.Helper()
	u.spawn()
	if !u.manager.await() {
		u.s.t.Fatal("the manager does not start")
	}
}

func (u *user) spawn() { u.spawnAs(func(*role) {}) }

// spawnAs runs a manager that is different in something.
func (u *user) spawnAs(change func(*role)) {
	u.s.t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	r := role{User: u.name, Paths: u.paths, Link: u.link.addr(), Monitor: "http://" + u.s.dead}
	change(&r)
	u.manager = spawn(u.s.t, r, filepath.Join(u.s.dir, u.name+".log"))
}

// signalSupervisord sends it a signal, and reports whether one lived. What is
// killed is dead when it returns.
func (u *user) signalSupervisord(sig syscall.Signal) bool {
	from, pid := time.Now(), u.supervisord()
	if pid == 0 || syscall.Kill(pid, sig) != nil {
		return false
	}
	if sig == syscall.SIGKILL {
		u.crashed(from, func() bool { return u.supervisord() == pid })
	}
	return true
}

// killRunner ends the runner that was started last as a crash would, and
// reports whether it lived.
func (u *user) killRunner() bool {
	effects, err := readEffects(u.effects())
	if err != nil {
		u.s.t.Error(err)
	}
	from, pid := time.Now(), 0
	for _, e := range effects {
		if !e.stop {
			pid = e.pid
		}
	}
	if pid == 0 || !runs(pid, u.effects()) || syscall.Kill(pid, syscall.SIGKILL) != nil {
		return false
	}
	// Until its parent has buried it, its parent does not know.
	u.crashed(from, func() bool { return syscall.Kill(pid, 0) == nil })
	return true
}

// crashed waits until what was killed is gone, and notes it as an operation on
// the testbed.
func (u *user) crashed(from time.Time, lives func() bool) {
	for deadline := time.Now().Add(patience); lives() && time.Now().Before(deadline); {
		pause(time.Millisecond)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.crashes = append(u.crashes, crash{from, time.Now()})
}

// runs reports whether a process lives that has the text among its arguments.
func runs(pid int, text string) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && contains(line, text)
}

// supervisord is the pid of the live one, or 0.
func (u *user) supervisord() int {
	b, err := os.ReadFile(filepath.Join(u.paths.Dir, "sup.pid"))
	if err != nil {
		return 0
	}
	var pid int
	if _, err := fmt.Sscan(string(b), &pid); err != nil {
		return 0
	}
	if !runs(pid, u.paths.Dir) {
		return 0
	}
	return pid
}

// client is one who asks, over a connection of their own.
func (s *site) client(bus func(*amq.Conn) control.Bus) *control.Client {
	s.t.Helper()
	conn := amq.New(brisk(s.clients.addr(), brokers.MCP))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = conn.Run(ctx) })
	var b control.Bus = conn
	if bus != nil {
		b = bus(conn)
	}
	c := control.NewClient(control.ClientOptions{Bus: b, Keys: s.keyOf, Login: brokers.MCP, Source: "faults"})
	s.t.Cleanup(func() { c.Close(); cancel(); wg.Wait() })
	return c
}

func (s *site) keyOf(name string) control.Ring {
	for _, u := range s.users {
		if u.name == name {
			return u.key.Ring()
		}
	}
	return control.Ring{}
}
