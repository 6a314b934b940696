package scale

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait: only what hangs takes as long.
const patience = 2 * time.Minute

// process is a program that runs until the test ends, or end or kill.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader // standard output
	said  *log          // standard error
	over  sync.Once
}

// log is what a process wrote.
type log struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// spawn starts a program with that environment and nothing else of ours.
func spawn(t testing.TB, dir string, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), said: &log{}}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = dir, append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}, env...), p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewReaderSize(out, 64<<10)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.end)
	return p
}

// line is the next line of its standard output.
func (p *process) line() string {
	p.t.Helper()
	text, err := p.lines.ReadString('\n')
	if err != nil {
		p.t.Fatalf("%s said no more: %v\n%s", p.cmd.Path, err, p.said)
	}
	return strings.TrimSuffix(text, "\n")
}

// says waits for a line with that beginning and returns its rest.
func (p *process) says(beginning string) string {
	p.t.Helper()
	for {
		if rest, ok := strings.CutPrefix(p.line(), beginning); ok {
			return rest
		}
	}
}

// end asks the program to end, and sees to it.
func (p *process) end() {
	p.over.Do(func() {
		p.in.Close()
		_ = p.cmd.Process.Signal(os.Interrupt)
		hard := time.AfterFunc(patience/4, func() { _ = p.cmd.Process.Kill() })
		defer hard.Stop()
		err := p.cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() != 130 && exit.Sys().(syscall.WaitStatus).Signal() != os.Interrupt {
			p.t.Errorf("%s: %v\n%.4000s", p.cmd.Path, err, p.said)
		}
		if strings.Contains(p.said.String(), "DATA RACE") {
			p.t.Errorf("%s:\n%s", p.cmd.Path, p.said)
		}
	})
}

// kill ends it as a crash would.
func (p *process) kill() {
	p.over.Do(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
}
