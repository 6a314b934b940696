package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen. It is no
// measurement: a test that needs it has failed already.
const patience = 90 * time.Second

// proc is a process of ours.
type proc struct {
	pid     int
	parent  int
	command []string
	dir     string // its mark
}

func (p proc) String() string { return fmt.Sprintf("%d %s", p.pid, strings.Join(p.command, " ")) }

// is tells whether this is supervisord, or another program by its name.
func (p proc) is(name string) bool {
	for i, arg := range p.command {
		if i < 2 && filepath.Base(arg) == name { // #!python runs a script as its argument
			return true
		}
	}
	return false
}

// kill ends it. The mark is looked at again: the pid may be another's by now.
func (p proc) kill() {
	if now, ok := look(p.pid); ok && now.dir == p.dir {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
}

// processes finds the live ones whose mark is dir or below it.
func processes(dir string) []proc {
	entries, _ := os.ReadDir("/proc")
	var list []proc
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if p, ok := look(pid); ok && (p.dir == dir || strings.HasPrefix(p.dir, dir+"/")) {
			list = append(list, p)
		}
	}
	return list
}

// look reads one process; not ok for the dead and for strangers.
func look(pid int) (proc, bool) {
	p := proc{pid: pid}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return p, false
	}
	for kv := range bytes.SplitSeq(env, []byte{0}) {
		if value, ok := bytes.CutPrefix(kv, []byte(mark+"=")); ok {
			p.dir = string(value)
		}
	}
	cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	p.command = strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if _, after, ok := strings.Cut(string(stat), ") "); ok {
		_, _ = fmt.Sscanf(after, "%1s %d", new(string), &p.parent)
	}
	return p, p.dir != ""
}

// named finds the live ones of that name. A child of one that looks like it
// has been forked and not become its own program yet.
func named(dir, name string) []proc {
	pids := map[int]bool{}
	list := slices.DeleteFunc(processes(dir), func(p proc) bool { return !p.is(name) })
	for _, p := range list {
		pids[p.pid] = true
	}
	return slices.DeleteFunc(list, func(p proc) bool { return pids[p.parent] })
}

// programs counts them.
func programs(dir, name string) int { return len(named(dir, name)) }

// eventually waits until ok, which says what is still missing.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	if err := within(patience, ok); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// within polls until ok returns nil and returns its last error when it never
// does. What is waited for here happens in other processes, which send no
// events.
func within(d time.Duration, ok func() error) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-end.C:
			return err
		}
	}
}
