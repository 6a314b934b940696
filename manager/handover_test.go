package manager

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/epic-swf/testbed/control"
)

const handEnv = "TEST_HAND_OVER"

// TestHandOver is no test but the other process of the one below: it takes the
// lock, replaces itself, and the next has it still, and no child of it.
func TestHandOver(t *testing.T) {
	path := os.Getenv(handEnv)
	if path == "" {
		return
	}
	if value := os.Getenv(LifeEnv); value != "" {
		l, err := AdoptLock(value)
		if err != nil {
			t.Fatal(err)
		}
		child, err := exec.Command("/bin/ls", "-l", "/proc/self/fd").Output()
		fmt.Printf("adopted by pid %d, in a child: %v %v\n", os.Getpid(), strings.Contains(string(child), path), err)
		_, _ = os.Stdin.Read(make([]byte, 1))
		_ = l.Unlock()
		return
	}
	l, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	value, err := l.HandOver()
	if err != nil {
		t.Fatal(err)
	}
	t.Fatal(syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), LifeEnv+"="+value)))
}

func TestLockSurvivesExec(t *testing.T) {
	path := t.TempDir() + "/lock"
	c := exec.Command(os.Args[0], "-test.run=^TestHandOver$")
	c.Env = append(os.Environ(), handEnv+"="+path)
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
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	line, _ := bufio.NewReader(out).ReadString('\n')
	if want := fmt.Sprintf("adopted by pid %d, in a child: false <nil>\n", c.Process.Pid); line != want {
		t.Fatalf("it said %q, not %q", line, want)
	}
	_, err = TryLock(path)
	held := new(HeldError)
	if !errors.As(err, &held) || held.holder != (process{c.Process.Pid, startOf(c.Process.Pid)}) {
		t.Errorf("beside the next manager: %v %+v", err, held)
	}
	in.Close()
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	l, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Unlock()
}

func TestAdoptRefusesWhatIsNotThatLock(t *testing.T) {
	dir := t.TempDir()
	other, err := os.Create(dir + "/other")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	l, err := TryLock(dir + "/lock")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Unlock()
	for _, value := range []string{"", "x", "7", "1:" + dir + "/lock", "999:" + dir + "/lock", fmt.Sprintf("%d:%s/lock", other.Fd(), dir)} {
		if l, err := AdoptLock(value); err == nil {
			_ = l.Unlock()
			t.Errorf("adopted %q", value)
		}
	}
}

// Over a restart the lock passes from one manager to the next with no moment
// in which a third could take it.
func TestRestartKeepsTheLifeLock(t *testing.T) {
	b := newBench(t)
	var kept *Lock
	ready := make(chan struct{})
	m := b.new(func() { close(ready) })
	m.o.Keep = func(l *Lock) { kept = l }
	ended := make(chan error, 1)
	go func() { ended <- m.Run(context.Background()) }()
	<-ready
	answer := b.local(control.Command{Verb: control.Restart, ID: control.NewID()}, nil)
	if err := <-ended; err != ErrRestart || kept == nil {
		t.Fatalf("ended with %v, kept %v", err, kept)
	}
	<-answer
	path, err := b.testbed().LifeLockPath()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TryLock(path); !errors.As(err, new(*HeldError)) {
		t.Fatalf("between the two managers: %v", err)
	}
	ctx, leave := context.WithCancel(context.Background())
	next := b.new(leave) // leaves once ready
	next.o.Life = kept
	if err := next.Run(ctx); err != nil {
		t.Fatal(err)
	}
	l, err := TryLock(path)
	if err != nil {
		t.Fatal("the next manager left and holds it still: ", err)
	}
	_ = l.Unlock()
}
