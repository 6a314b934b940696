package supervisor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Who starts a supervisord may die before that has a socket, a pid file, or has
// even read its configuration. It must not come up behind a Shutdown.
func TestHalfBorn(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper)
	begun, done := filepath.Join(r.dir, "begun"), filepath.Join(r.dir, "go")
	slow := filepath.Join(r.dir, "slow")
	script := fmt.Sprintf("#!/bin/sh\necho $$ >%s.new; mv %[1]s.new %[1]s\nwhile [ ! -e %s ]; do sleep 0.02; done\nexec %s \"$@\"\n", begun, done, r.opts.Binary)
	if err := os.WriteFile(slow, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSurvivesItsParentHelper$")
	cmd.Env = append(os.Environ(), "SUPERVISOR_TEST_CONF="+r.Conf().Path, "SUPERVISOR_TEST_BINARY="+slow,
		"SUPERVISOR_TEST_LOCK="+filepath.Join(r.dir, "lock"), "SWF_START_ID=x")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	eventually(t, "it is being started", func() bool {
		b, err := os.ReadFile(begun)
		_, err2 := fmt.Sscan(strings.TrimSpace(string(b)), &pid)
		return err == nil && err2 == nil
	})
	kill(t, cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait()
	orphans, err := r.Orphans(r.ctx())
	if err != nil || len(orphans) == 0 || orphans[0].Getenv("SWF_START_ID") != "x" {
		t.Errorf("Orphans = %v, %v; want the one that is not a supervisord yet", orphans, err)
	}
	r.shutdownNow()
	if !gonePID(pid) {
		t.Error("it will come up behind the Shutdown")
	}
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.spawn() // and nothing of it is in the way of the next
	r.start("a")
}
