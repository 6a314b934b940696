package manager

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

const holdEnv = "TEST_HOLD_LOCK"

// TestHoldLock is no test but the other process of those below: it takes a
// lock, says so, and keeps it until its standard input ends.
func TestHoldLock(t *testing.T) {
	path := os.Getenv(holdEnv)
	if path == "" {
		return
	}
	l, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("held")
	_, _ = os.Stdin.Read(make([]byte, 1))
	_ = l.Unlock() // and not before, by the garbage collector
}

// holder starts another process that has the lock.
func holder(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestHoldLock$")
	c.Env = append(os.Environ(), holdEnv+"="+path)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = c.Process.Kill(); _ = c.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "held" {
		t.Fatalf("the holder said %q, %v", line, err)
	}
	return c
}

func (b *bench) execLock() string {
	b.t.Helper()
	tb := b.testbed()
	d, err := tb.daemon()
	if err != nil {
		b.t.Fatal(err)
	}
	return tb.execLockPath(d)
}

// A paused process could go on with its start at any later time: a stop that
// has waited for it kills it.
func TestStopKillsAPausedHolder(t *testing.T) {
	b := newBench(t)
	b.startByHand("x")
	b.manager()
	c := holder(t, b.execLock())
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Succeeded, "")
	if err := c.Wait(); err == nil || c.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the holder ended with %v", err)
	}
	if alive := b.alive(); len(alive) > 0 {
		t.Errorf("left running: %v", alive)
	}
}

// A start under way elsewhere undoes itself for a stop, long before anybody
// would be killed.
func TestStartHeedsAStopOfAnotherProcess(t *testing.T) {
	b := newBench(t)
	ended := make(chan error, 1)
	acting := make(chan struct{})
	go func() {
		_, err := b.testbed().Start(context.Background(), StartRequest{ID: "x", ConfigName: "slow", Acting: func() error { close(acting); return nil }})
		ended <- err
	}()
	<-acting
	if _, err := b.testbed().Stop(context.Background(), nil); err != nil {
		t.Error(err)
	}
	if err := <-ended; !swf.IsCode(err, swf.CodeCancelled) {
		t.Errorf("the start ended with %v", err)
	}
	if alive := b.alive(); len(alive) > 0 {
		t.Errorf("left running: %v", alive)
	}
}

func TestAttack32OnlyThatVeryProcessIsKilled(t *testing.T) {
	c := holder(t, t.TempDir()+"/lock")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pid := c.Process.Pid
	for name, p := range map[string]process{
		"another start time": {pid, startOf(pid) + "1"},
		"no start time":      {pid, ""},
		"this process":       self(),
		"nobody":             {},
	} {
		if killed, err := p.kill(ctx); killed || err != nil {
			t.Errorf("%s: killed %v, %v", name, killed, err)
		}
	}
	if killed, err := (process{pid, startOf(pid)}).kill(ctx); !killed || err != nil {
		t.Errorf("killed %v, %v", killed, err)
	}
}

// What a process that gave the lock back had written must not name it as the
// holder.
func TestUnlockErasesTheName(t *testing.T) {
	path := t.TempDir() + "/lock"
	l, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || len(b) > 0 {
		t.Errorf("the file says %q, %v", b, err)
	}
}
