package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
)

// patience bounds every wait: only what hangs takes as long.
const patience = 2 * time.Minute

// repository is the folder that holds go.mod.
func repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// ours is one of our programs as "make build" makes it: static and stripped.
func ours(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(repository(), "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs make build: ", err)
	}
	return path
}

// built builds a floor of testdata as our programs are built.
func built(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", path, "./testdata/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// python is a Python that has the rivals' packages, "" when there is none.
func python() string { return os.Getenv("SWF_TEST_PYTHON") }

// folder is an empty one with a short path, for sockets live in it.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "bench")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// background runs a daemon in this process until the test ends.
func background(t testing.TB, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// embedded is our broker, at an address of its own.
func embedded(t testing.TB) string {
	t.Helper()
	l := listen(t)
	b := broker.New(broker.Options{})
	background(t, func(ctx context.Context) error { return b.Serve(ctx, l) })
	return l.Addr().String()
}

// bus is a connection that stands.
func bus(t testing.TB, addr string) *amq.Conn {
	t.Helper()
	c := amq.New(amq.Options{Addr: addr})
	background(t, c.Run)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.WaitUp(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

// process is a program that runs until the test ends, or end.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  *bufio.Reader
	output strings.Builder // standard error
}

func spawn(t testing.TB, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...)}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), env...), &p.output
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

// end asks the program to end, which a closed standard input does for servers.
func (p *process) end() {
	if p.cmd.ProcessState != nil {
		return
	}
	p.in.Close()
	_ = p.cmd.Process.Signal(os.Interrupt)
	hard := time.AfterFunc(patience/4, func() { _ = p.cmd.Process.Kill() })
	defer hard.Stop()
	_, _ = io.Copy(io.Discard, p.lines)
	_ = p.cmd.Wait()
}

// ask writes a line and returns the next one.
func (p *process) ask(line string) string {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatalf("%v\n%s", err, p.output.String())
	}
	return p.line()
}

func (p *process) line() string {
	p.t.Helper()
	text, err := p.lines.ReadString('\n')
	if err != nil {
		p.t.Fatalf("%s said no more: %v\n%s", p.cmd.Path, err, p.output.String())
	}
	return strings.TrimSuffix(text, "\n")
}

// resident is the process's memory in bytes.
func resident(t testing.TB, pid int) float64 {
	t.Helper()
	kb, err := strconv.ParseFloat(strings.TrimSuffix(field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS"), " kB"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb * 1024
}

// processor is the time in seconds that the process has computed so far.
func processor(t testing.TB, pid int) float64 {
	t.Helper()
	total := 0.0
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if len(threads) == 0 {
		t.Fatalf("process %d has ended, or this kernel keeps no schedstat", pid)
	}
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		ns, _ := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
		total += ns / 1e9
	}
	return total
}

// timed is how long f took, in seconds.
func timed(f func()) float64 {
	began := time.Now()
	f()
	return time.Since(began).Seconds()
}

// pause waits in small steps: other processes offer no event to wait for.
func pause(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
}
