package supervisor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What a program has sent off as a daemon, in a session of its own and with
// another parent, ends with the testbed too, also when supervisord knows nothing
// of it any more.
func TestShutdownEndsDaemonsOfPrograms(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("setsid"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs setsid: ", err)
	}
	r := newRig(t, "parent", `command=/bin/sh -c 'setsid sh -c "trap \"\" HUP; echo \$\$ >%(here)s/new; mv %(here)s/new %(here)s/daemon; exec sleep 3600" & exec sleep 3600'`)
	r.spawn()
	r.start("parent")
	var pid int
	eventually(t, "the daemon runs", func() bool {
		b, err := os.ReadFile(filepath.Join(r.dir, "daemon"))
		_, scanned := fmt.Sscan(strings.TrimSpace(string(b)), &pid)
		return err == nil && scanned == nil
	})
	if _, err := r.StopPrograms(r.ctx(), nil); err != nil {
		t.Fatal(err)
	}
	if gonePID(pid) {
		t.Fatal("the daemon went with its parent: the test shows nothing")
	}
	if err := r.Shutdown(r.ctx()); err != nil {
		t.Fatal(err)
	}
	if !gonePID(pid) {
		t.Error("the daemon lives on")
	}
}

// A sweep notices that a process which was listed has ended: what it forked in
// its last moment is on no list.
func TestSweepNoticesAnEnd(t *testing.T) {
	cmd := exec.Command("/bin/true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	s := &sweep{buf: make([]byte, 16)}
	if env, err := s.environ(os.Getpid()); err != nil || len(env) <= 16 || s.ended {
		t.Errorf("of a live process: %d bytes, %v, ended %t", len(env), err, s.ended)
	}
	if _, err := s.environ(cmd.Process.Pid); err == nil || !s.ended {
		t.Errorf("of one that has ended: %v, ended %t", err, s.ended)
	}
}

// A program that somebody starts between a stop and its shutdown is ended by
// supervisord itself.
func TestShutdownAfterAStopThatWasForestalled(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper, "b", sleeper)
	r.spawn()
	r.start("a")
	if _, err := r.StopPrograms(r.ctx(), nil); err != nil {
		t.Fatal(err)
	}
	other := r.again(r.opts.Binary)
	ps, err := other.StartPrograms(r.ctx(), []string{"b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Shutdown(r.ctx()); err != nil {
		t.Fatal(err)
	}
	if !gonePID(ps[0].PID) {
		t.Error("b lives on")
	}
}
