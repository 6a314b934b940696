package brokers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// How long a start and an orderly stop may take on a busy machine.
const (
	startWithin = 3 * time.Minute
	stopWithin  = 20 * time.Second
	pollEvery   = 10 * time.Millisecond
)

// The logins that every server has besides its users; each one's passcode is
// Passcode of it.
const (
	Admin = "admin" // may do all
	MCP   = "mcp"   // the MCP server: sends commands, hears replies
)

// Passcode is the passcode of a login.
func Passcode(login string) string {
	if login == Admin {
		return Admin
	}
	return login + "-secret"
}

// Server is one broker in a process of its own that a test can end and bring
// back at the same address, with what it had stored. It is not safe for
// concurrent use.
type Server struct {
	addr string
	base string
	argv []string
	cmd  *exec.Cmd
	log  output
}

// output is what the process wrote.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// small is a JVM that starts fast and stays below 200 MB.
var small = []string{"java", "-Xms32M", "-Xmx160M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true"}

// repository is the folder that holds go.mod.
func repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// newServer prepares the folder base: etc with the files of deploy/kind, in
// which the permissions of users are filled in, and those that hold their
// passwords and groups.
func newServer(base, kind, config, passwords, groups string, users []string) (*Server, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return nil, fmt.Errorf("java %w: %w", ErrMissing, err)
	}
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{"etc", "tmp", "data"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o700); err != nil {
			return nil, err
		}
	}
	texts, err := read(filepath.Join(repository(), "deploy", kind))
	if err != nil {
		return nil, err
	}
	var entries, logins, members strings.Builder
	for _, u := range append([]string{Admin, MCP}, users...) {
		fmt.Fprintf(&logins, "%s = %s\n", u, Passcode(u))
	}
	everybody := strings.Join(append([]string{Admin}, users...), ",")
	fmt.Fprintf(&members, "testbed-admin = %s\ntestbed-server = %s,%s\ntestbed-users = %s\n", Admin, MCP, Admin, everybody)
	for _, u := range users {
		entries.WriteString(strings.ReplaceAll(texts["user.xml"], "USERNAME", u))
		fmt.Fprintf(&members, "testbed-%s = %s,%s\n", u, u, Admin)
	}
	texts[config] = strings.Replace(texts[config], "<!-- users -->", entries.String(), 1)
	texts[passwords], texts[groups] = logins.String(), members.String()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(base, "etc", name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return &Server{addr: addr, base: base, argv: append(append([]string{}, small...), opens...)}, nil
}

// read reads the files of a folder.
func read(dir string) (map[string]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	texts := make(map[string]string)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		texts[f.Name()] = string(b)
	}
	return texts, nil
}

// FreeAddr returns an address of loopback that nobody listened on a moment ago,
// below the ports that the kernel gives to outgoing connections: a client that
// dials such a port until the broker is back can otherwise be connected to
// itself, and the broker finds its port taken.
func FreeAddr() (string, error) {
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))); err == nil {
			defer l.Close()
			return l.Addr().String(), nil
		}
	}
	return "", fmt.Errorf("no free port from 20000 to 32000: %w", err)
}

func (s *Server) port() string {
	_, port, _ := net.SplitHostPort(s.addr)
	return port
}

// Addr is where it listens for STOMP, HOST:PORT.
func (s *Server) Addr() string { return s.addr }

// PID is its process, 0 while it does not run.
func (s *Server) PID() int {
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Heap lets its JVM have so many megabytes from the next start on, more than
// the few that most tests need.
func (s *Server) Heap(megabytes int) {
	for i, arg := range s.argv {
		if strings.HasPrefix(arg, "-Xmx") {
			s.argv[i] = fmt.Sprintf("-Xmx%dM", megabytes)
		}
	}
}

// Log is all that it has written.
func (s *Server) Log() string { return s.log.String() }

// Start is Run for a test, which fails where the broker does.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
}

// Run starts it, with what it had stored, and returns once it accepts
// connections.
func (s *Server) Run() error {
	began := time.Now()
	s.cmd = exec.Command(s.argv[0], s.argv[1:]...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.base, &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return err
	}
	for {
		nc, err := net.Dial("tcp", s.addr)
		if err == nil {
			return nc.Close()
		}
		if time.Since(began) > startWithin || s.gone() {
			return fmt.Errorf("the broker did not come up: %w\n%.4000s", err, s.log.String())
		}
		<-time.After(pollEvery) // another process; there is nothing to wait on
	}
}

// gone says whether the process has ended without being told to.
func (s *Server) gone() bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// Stop ends it in an orderly way, as an operator would.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	p := s.cmd.Process
	timer := time.AfterFunc(stopWithin, func() { _ = p.Kill() })
	defer timer.Stop()
	s.end(syscall.SIGTERM)
}

// Kill ends it as a crash would.
func (s *Server) Kill(testing.TB) { s.end(syscall.SIGKILL) }

func (s *Server) end(sig syscall.Signal) {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig)
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}
