package manager

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
)

// serviceManager is the other end of the notification socket.
type serviceManager struct {
	t    *testing.T
	conn *net.UnixConn
}

func listenNotify(t *testing.T, path string) *serviceManager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &serviceManager{t, conn}
}

// next returns the next message, its lines by their names.
func (s *serviceManager) next() map[string]string {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := s.conn.Read(b)
	if err != nil {
		s.t.Fatal("nothing more was said: ", err)
	}
	said := make(map[string]string)
	for line := range strings.SplitSeq(string(b[:n]), "\n") {
		name, value, _ := strings.Cut(line, "=")
		said[name] = value
	}
	return said
}

// until reads on to the first message that has what is wanted.
func (s *serviceManager) until(want func(map[string]string) bool) map[string]string {
	s.t.Helper()
	for {
		if said := s.next(); want(said) {
			return said
		}
	}
}

func fed(said map[string]string) bool   { return said["WATCHDOG"] == "1" }
func stuck(said map[string]string) bool { return strings.HasPrefix(said["STATUS"], "stuck: ") }

// watched starts a manager under a service manager with a short watchdog.
func (b *bench) watched(s *serviceManager, refine func(*Manager)) (m *Manager, leave func()) {
	b.t.Helper()
	m = b.new(nil)
	m.o.Service = Service{Socket: s.conn.LocalAddr().String(), Watchdog: 40 * time.Millisecond}
	if refine != nil {
		refine(m)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = m.Run(ctx) })
	leave = func() { cancel(); wg.Wait() }
	b.t.Cleanup(leave)
	return m, leave
}

// starved reads on to the first message that says stuck and wants the same of
// the next ones, none of which may feed the watchdog.
func (s *serviceManager) starved() {
	s.t.Helper()
	s.until(stuck)
	for range 5 {
		if said := s.next(); fed(said) || !stuck(said) {
			s.t.Errorf("then it said %v", said)
		}
	}
}

func TestServiceIsTold(t *testing.T) {
	for name, path := range map[string]func() string{
		"file":     func() string { return t.TempDir() + "/n" },
		"abstract": func() string { return "@testbed-" + control.NewID() },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := listenNotify(t, path())
			m, leave := b.watched(s, nil)
			for { // before it is ready: more time, and no word of being ready
				said := s.next()
				if said["READY"] == "1" {
					break
				}
				if said["EXTEND_TIMEOUT_USEC"] != "90000000" {
					t.Errorf("before it was ready it said %v", said)
				}
			}
			if len(m.heartbeat(context.Background()).Description) == 0 || !m.bus.Up() {
				t.Error("ready without a broker")
			}
			said := s.until(func(said map[string]string) bool { return fed(said) && said["EXTEND_TIMEOUT_USEC"] == "" })
			if said["STATUS"] != "taking commands of ann" {
				t.Errorf("healthy, it said %v", said)
			}
			left := make(chan struct{})
			go func() { leave(); close(left) }()
			s.until(func(said map[string]string) bool { return said["STOPPING"] == "1" })
			<-left
		})
	}
}

// A broker that is away is waited for: starting the manager anew would not
// bring it back.
func TestAbsentBrokerFeedsTheWatchdog(t *testing.T) {
	b := newBench(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.broker.Addr = ln.Addr().String()
	ln.Close()
	s := listenNotify(t, t.TempDir()+"/n")
	b.watched(s, nil)
	for range 5 {
		said := s.next()
		if !fed(said) || said["READY"] != "" || said["EXTEND_TIMEOUT_USEC"] == "" || !strings.HasPrefix(said["STATUS"], "waiting for the broker") {
			t.Errorf("it said %v", said)
		}
	}
	b.serveBroker()
	s.until(func(said map[string]string) bool { return said["READY"] == "1" })
}

func TestStuckJobStarvesTheWatchdog(t *testing.T) {
	b := newBench(t)
	s := listenNotify(t, t.TempDir()+"/n")
	m, _ := b.watched(s, func(m *Manager) {
		m.bound = func(control.Verb) time.Duration { return time.Millisecond }
	})
	s.until(func(said map[string]string) bool { return said["READY"] == "1" })
	s.until(fed)
	j, running, release, _ := blocked("wedged", control.StopTestbed)
	m.exec.Enqueue(j)
	<-running
	s.starved()
	close(release)
	s.until(fed) // it moves again
}

func TestDeafControlQueueStarvesTheWatchdog(t *testing.T) {
	b := newBench(t)
	s := listenNotify(t, t.TempDir()+"/n")
	m, _ := b.watched(s, func(m *Manager) { m.fresh = 100 * time.Millisecond })
	s.until(func(said map[string]string) bool { return said["READY"] == "1" })
	s.until(fed)
	m.accepting.Lock() // the receive loop waits here with the next command
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, _ = b.client.Ask(ctx, control.Command{Verb: control.StopTestbed, Username: "ann", IssuedBy: "ann"}, nil)
	}()
	s.starved()
	m.accepting.Unlock()
	s.until(fed)
	<-sent
}

// An outcome that cannot be written keeps the executor, and the next manager
// could not write it either.
func TestWhatWaitsForAReasonIsNotOverdue(t *testing.T) {
	e, _ := runExecutor(t)
	j, running, release, _ := blocked("x", control.StartTestbed)
	e.Enqueue(j)
	<-running
	soon := func(control.Verb) time.Duration { return 0 }
	if late, _ := e.Overdue(soon); late != j {
		t.Error("a job beyond its bound is not overdue")
	}
	e.mu.Lock()
	e.moved = time.Now().Add(-time.Hour)
	e.mu.Unlock()
	e.Moves()
	if late, _ := e.Overdue(func(control.Verb) time.Duration { return time.Minute }); late != nil {
		t.Error("a job that moves is overdue")
	}
	e.Free("x") // its outcome is told; what it does afterwards is watched as well
	if late, _ := e.Overdue(soon); late != j {
		t.Error("a job whose outcome is told is forgotten")
	}
	close(release)
}

// The bound is above everything that a job may take by supervisord's own
// times.
func TestJobBound(t *testing.T) {
	b := newBench(t)
	m := b.new(nil)
	start, stop := m.jobBound(control.StartTestbed), m.jobBound(control.StopTestbed)
	if start < 30*time.Second+20*time.Second+rollbackTime || stop < 2*time.Second+fenceMargin || start <= stop {
		t.Errorf("a start may take %s, a stop %s", start, stop)
	}
}

func TestServiceFromEnv(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"60000000", "", time.Minute}, {"60000000", "7", time.Minute}, {"60000000", "8", 0},
		{"", "", 0}, {"0", "", 0}, {"-5", "", 0}, {"soon", "7", 0},
	} {
		env := map[string]string{"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
		if got := ServiceFromEnv(func(k string) string { return env[k] }, 7); got != (Service{"@x", c.want}) {
			t.Errorf("usec %q pid %q: %+v", c.usec, c.pid, got)
		}
	}
	if err := (Service{}).notify("READY=1"); err != nil {
		t.Errorf("without a service manager: %v", err)
	}
}
