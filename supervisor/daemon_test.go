package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const sleeper = "command=/bin/sleep 1000"

func TestLifeCycle(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper, "b", sleeper, "c", sleeper+"\nstartsecs=3")
	if _, err := r.Observe(r.ctx()); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("Observe before = %v, want ErrNotRunning", err)
	}
	if ps, err := r.StopPrograms(r.ctx(), nil); ps != nil || err != nil {
		t.Fatalf("StopPrograms before = %v, %v", ps, err)
	}
	r.shutdownNow() // of nothing succeeds
	r.env = append(r.env, "SWF_START_ID=one")
	r.spawn()
	if err := r.Spawn(r.ctx(), r.env); !errors.Is(err, ErrAlreadyRunning) {
		t.Fatalf("second Spawn = %v, want ErrAlreadyRunning", err)
	}
	ps, err := r.Observe(r.ctx())
	if err != nil || len(ps) != 3 || len(active(ps)) != 0 || !ps[0].Start.IsZero() {
		t.Fatalf("Observe = %+v, %v", ps, err)
	}
	env, err := r.Environ(r.ctx())
	if err != nil || env["SWF_START_ID"] != "one" {
		t.Fatalf("Environ = %v, %v", env, err)
	}
	var seen int
	ps, err = r.StartPrograms(r.ctx(), []string{"c", "a", "b"}, func(ps []Process) { seen++ })
	if err != nil || len(ps) != 3 || ps[0].Name != "c" {
		t.Fatalf("StartPrograms = %+v, %v", ps, err)
	}
	r.executed(ps...)
	for _, p := range ps {
		if p.State != Running || p.PID == 0 || p.Start.IsZero() || p.LogFile == "" {
			t.Errorf("%+v", p)
		}
		if env, err := readEnviron(p.PID); err != nil || env["SWF_START_ID"] != "one" ||
			env["SUPERVISOR_SERVER_URL"] != r.Conf().ServerURL {
			t.Errorf("environment of %s: %v, %v", p.Name, env, err)
		}
	}
	if seen < 2 {
		t.Errorf("progress called %d times", seen)
	}
	r.start("a", "b") // again: runs already
	pid := r.pid()
	ps, err = r.StopPrograms(r.ctx(), nil)
	if err != nil || len(ps) != 3 || len(active(ps)) != 0 {
		t.Fatalf("StopPrograms = %+v, %v", ps, err)
	}
	r.shutdownNow()
	if !gonePID(pid) {
		t.Error("supervisord still there")
	}
	if _, err := os.Lstat(r.Conf().Socket); !os.IsNotExist(err) {
		t.Errorf("socket: %v", err)
	}
	if _, err := r.PID(r.ctx()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("PID after = %v", err)
	}
}

// Twenty starts and stops, from Daemons that know nothing of each other, leave
// one supervisord at most at any time and none at the end.
func TestManyCyclesLeaveNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper, "b", sleeper, "c", sleeper)
	bin := r.opts.Binary
	pids := map[int]bool{}
	for i := range 20 {
		d := r.again(bin)
		if err := d.Spawn(r.ctx(), r.env); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
		pids[r.pid()] = true
		if _, err := d.StartPrograms(r.ctx(), []string{"a", "b", "c"}, nil); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
		if n := len(supervisords(t, r.dir)); n != 1 {
			t.Fatalf("cycle %d: %d supervisords", i, n)
		}
		began := time.Now()
		if err := d.Shutdown(r.ctx()); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
		t.Logf("cycle %d: shut down in %s", i, time.Since(began))
		if n := len(supervisords(t, r.dir)); n != 0 {
			t.Fatalf("cycle %d: %d supervisords left", i, n)
		}
		if left, err := d.scan(identity{}); err != nil || len(left) != 0 {
			t.Fatalf("cycle %d: left %v, %v", i, left, err)
		}
	}
	if len(pids) != 20 {
		t.Errorf("%d different supervisords, want 20", len(pids))
	}
}

// supervisords are the processes that run with a configuration in dir, without
// their children that have not executed a program yet.
func supervisords(t *testing.T, dir string) []int {
	t.Helper()
	all, err := allPIDs()
	if err != nil {
		t.Fatal(err)
	}
	parents := map[int]int{}
	for _, pid := range all {
		if s, err := readStat(pid); err == nil && !s.gone() && strings.Contains(commandLine(pid), "-c "+dir) {
			parents[pid] = s.parent
		}
	}
	var out []int
	for pid, parent := range parents {
		if _, child := parents[parent]; !child {
			out = append(out, pid)
		}
	}
	return out
}

// A supervisord that something else started is driven all the same, hung or not.
func TestAdoption(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper)
	r.spawn()
	r.start("a")
	other := r.again("")
	pid, err := other.PID(r.ctx())
	if err != nil || pid != r.pid() {
		t.Fatalf("PID = %d, %v", pid, err)
	}
	if ps, err := other.Observe(r.ctx()); err != nil || ps[0].State != Running {
		t.Fatalf("Observe = %v, %v", ps, err)
	}
	third := r.again("")
	kill(t, pid, syscall.SIGSTOP)
	if _, err := third.Observe(r.ctx()); !errors.Is(err, ErrHung) {
		t.Fatalf("Observe = %v, want ErrHung", err)
	}
	if env, err := third.Environ(r.ctx()); err != nil || env["USER"] != "tester" {
		t.Fatalf("Environ of a hung one = %v, %v", env, err)
	}
	kill(t, pid, syscall.SIGCONT)
	if err := other.Shutdown(r.ctx()); err != nil {
		t.Fatal(err)
	}
	if !gonePID(pid) {
		t.Error("still there")
	}
}

// A hung supervisord is killed, by a Daemon that did not start it, and its
// programs with it.
func TestShutdownOfHung(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper, "b", sleeper)
	r.spawn()
	ps := r.start("a", "b")
	pid := r.pid()
	kill(t, pid, syscall.SIGSTOP)
	d := r.again("")
	d.limits.hung = time.Second
	if err := d.Shutdown(r.ctx()); err != nil {
		t.Fatal(err)
	}
	for _, p := range append([]int{pid}, ps[0].PID, ps[1].PID) {
		if !gonePID(p) {
			t.Errorf("%d still there", p)
		}
	}
	for _, f := range []string{r.Conf().Socket, r.Conf().PIDFile} {
		if _, err := os.Lstat(f); !os.IsNotExist(err) {
			t.Errorf("%s: %v", f, err)
		}
	}
	r.spawn()
}

// Who looked in vain before the stop has used up patience: together they take
// no longer than the stop alone may.
func TestPatienceWithAHungOneIsShared(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper)
	r.spawn()
	r.start("a")
	d := r.again("")
	d.limits.hung = readTimeout
	if p := d.patience(); p != d.limits.hung {
		t.Errorf("patience is %v at the beginning", p)
	}
	pid := r.pid()
	kill(t, pid, syscall.SIGSTOP)
	if _, err := d.Observe(r.ctx()); !errors.Is(err, ErrHung) {
		t.Fatalf("Observe = %v, want ErrHung", err)
	}
	if p := d.patience(); p > 0 {
		t.Errorf("%v are left after it was silent for %v", p, readTimeout)
	}
	kill(t, pid, syscall.SIGCONT)
	if _, err := d.Observe(r.ctx()); err != nil {
		t.Fatal(err)
	}
	if p := d.patience(); p != d.limits.hung {
		t.Errorf("patience is %v after an answer", p)
	}
	kill(t, pid, syscall.SIGSTOP)
	if err := d.Shutdown(r.ctx()); err != nil {
		t.Fatal(err)
	}
	if !gonePID(pid) {
		t.Error("still there")
	}
}

func TestKilledSupervisord(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper, "deaf", `command=/bin/sh -c 'trap "" QUIT; while :; do sleep 1; done'`+"\nstopwaitsecs=1")
	r.spawn()
	ps := r.start("a", "deaf")
	r.executed(ps...)
	r.loops(ps[1])
	kill(t, r.pid(), syscall.SIGKILL)
	eventually(t, "supervisord gone", func() bool { _, err := r.Observe(r.ctx()); return errors.Is(err, ErrNotRunning) })
	if _, err := os.Lstat(r.Conf().Socket); err != nil {
		t.Fatal("no stale socket: ", err)
	}
	orphans, err := r.Orphans(r.ctx())
	if err != nil || len(orphans) < 2 {
		t.Fatalf("Orphans = %v, %v", orphans, err)
	}
	// A new one comes up beside the stale socket, and does not own the orphans.
	r.spawn()
	second := r.start("a")[0]
	orphans, err = r.KillOrphans(r.ctx())
	if err != nil || len(orphans) < 2 || orphans[0].Command == "" {
		t.Fatalf("KillOrphans = %v, %v", orphans, err)
	}
	if !gonePID(ps[0].PID) || !gonePID(ps[1].PID) {
		t.Error("orphan still there")
	}
	if gonePID(second.PID) {
		t.Error("a program of the live supervisord was ended")
	}
	if orphans, err := r.KillOrphans(r.ctx()); err != nil || len(orphans) != 0 {
		t.Errorf("again = %v, %v", orphans, err)
	}
	// And without a new one, Shutdown alone leaves nothing.
	kill(t, r.pid(), syscall.SIGKILL)
	r.shutdownNow()
	if !gonePID(second.PID) {
		t.Error("orphan survived Shutdown")
	}
	if _, err := os.Lstat(r.Conf().Socket); !os.IsNotExist(err) {
		t.Error("stale socket survived Shutdown: ", err)
	}
}

// Somebody removed the socket: the supervisord cannot be spoken to, but it is
// found, is no reason to spawn a second one, and ends.
func TestLostSocket(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper)
	r.spawn()
	p := r.start("a")[0]
	pid := r.pid()
	if err := os.Remove(r.Conf().Socket); err != nil {
		t.Fatal(err)
	}
	d := r.again(r.opts.Binary)
	if err := d.Spawn(r.ctx(), r.env); !errors.Is(err, ErrAlreadyRunning) {
		t.Fatalf("Spawn = %v, want ErrAlreadyRunning", err)
	}
	if err := r.again("").Shutdown(r.ctx()); err != nil {
		t.Fatal(err)
	}
	if !gonePID(pid) || !gonePID(p.PID) {
		t.Error("still there")
	}
}

func TestCancelledShutdownCanBeRepeated(t *testing.T) {
	t.Parallel()
	r := newRig(t, "slow", `command=/bin/sh -c 'trap "" QUIT; while :; do sleep 1; done'`+"\nstopwaitsecs=1")
	r.spawn()
	r.loops(r.start("slow")[0])
	ctx, cancel := context.WithCancel(r.ctx())
	time.AfterFunc(400*time.Millisecond, cancel)
	if err := r.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Shutdown = %v", err)
	}
	r.shutdownNow()
}

func TestFindBinary(t *testing.T) {
	dir := t.TempDir()
	put := func(p string) string {
		p = filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return p
	}
	env := map[string]string{}
	get := func(k string) string { return env[k] }
	find := func(want string) {
		t.Helper()
		got, err := FindBinary(dir, get)
		if got != want || (want == "") != errors.Is(err, ErrNoBinary) {
			t.Errorf("FindBinary = %q, %v, want %q", got, err, want)
		}
	}
	find("")
	find2 := put(".cache/venv/bin/supervisord")
	find(find2)
	path := put("bin/supervisord")
	env["PATH"] = "bin:" + dir + "/nothing:" + dir + "/bin"
	find(path)
	env["SWF_SUPERVISORD"] = dir + "/wrong"
	find("")
	env["SWF_SUPERVISORD"] = put("mine")
	find(dir + "/mine")
	find(put(".venv/bin/supervisord"))
}
