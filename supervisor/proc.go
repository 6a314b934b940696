package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// identity names one process for good: a pid comes back, with its start time it
// does not.
type identity struct {
	pid   int
	start uint64 // clock ticks since boot, /proc/PID/stat field 22
}

// procStat is what /proc/PID/stat tells.
type procStat struct {
	identity
	state   byte
	parent  int
	session int
}

// gone: no process, or only its corpse.
func (s procStat) gone() bool { return s.state == 'Z' || s.state == 'X' }

const ticks = 100 // a second; USER_HZ is 100 wherever Go runs on Linux

// readStat reads one process; an error when there is none.
func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, err
	}
	// The name in parentheses may hold anything, so count from its end.
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return procStat{}, fmt.Errorf("/proc/%d/stat is unreadable", pid)
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 {
		return procStat{}, fmt.Errorf("/proc/%d/stat is unreadable", pid)
	}
	s := procStat{identity: identity{pid: pid}, state: f[0][0]}
	s.parent, _ = strconv.Atoi(f[1])
	s.session, _ = strconv.Atoi(f[3])
	s.start, err = strconv.ParseUint(f[19], 10, 64)
	return s, err
}

// alive tells whether this very process still runs.
func (id identity) alive() bool {
	if id.pid <= 0 {
		return false
	}
	s, err := readStat(id.pid)
	return err == nil && s.start == id.start && !s.gone()
}

// age is how long ago the process was forked.
func (id identity) age() time.Duration {
	now, err := sinceBoot()
	if err != nil {
		return 0
	}
	return now - time.Duration(id.start)*(time.Second/ticks)
}

// allPIDs lists every process that /proc shows.
func allPIDs() ([]int, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// readEnviron is the environment that a process was executed with; empty for a
// zombie, an error for somebody else's process.
func readEnviron(pid int) (map[string]string, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return nil, err
	}
	return variablesOf(b), nil
}

// variablesOf reads an environment as the kernel shows it.
func variablesOf(environ []byte) map[string]string {
	env := map[string]string{}
	for _, kv := range strings.Split(string(environ), "\x00") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			if _, twice := env[k]; !twice { // getenv finds the first
				env[k] = v
			}
		}
	}
	return env
}

// commandLine is for a person to recognise a process by.
func commandLine(pid int) string {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return clip(clean(strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " "))), 200)
}

// holder finds the process that listens at a unix socket's path, without
// asking it: the way to a supervisord that does not answer. 0 when there is
// none or more than one. hint, a pid or 0, decides between several.
func holder(path string, hint int) int {
	inodes := listening(path)
	if len(inodes) == 0 {
		return 0
	}
	pids, err := allPIDs()
	if err != nil {
		return 0
	}
	found := map[int]bool{}
	for _, pid := range pids {
		if holdsSocket(pid, inodes) {
			found[pid] = true
		}
	}
	if found[hint] {
		return hint
	}
	var owner int
	for pid := range found {
		// A child between fork and exec holds it too; its parent is meant.
		if s, err := readStat(pid); err != nil || s.gone() || found[s.parent] {
			continue
		}
		if owner != 0 {
			return 0
		}
		owner = pid
	}
	return owner
}

// listening gives the inodes ("socket:[123]") of the sockets that listen at
// path. supervisord binds PATH.PID and links that to PATH, so the kernel shows
// the former.
func listening(path string) map[string]bool {
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil
	}
	out := map[string]bool{}
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.SplitN(line, " ", 8) // Num: RefCount Protocol Flags Type St Inode Path
		if len(f) < 8 || f[3] != "00010000" {
			continue
		}
		inode, bound, ok := strings.Cut(strings.TrimLeft(strings.Join(f[6:], " "), " "), " ")
		if !ok {
			continue
		}
		rest, ok := strings.CutPrefix(bound, path)
		if !ok {
			continue
		}
		if n, isNumber := strings.CutPrefix(rest, "."); rest != "" {
			if _, err := strconv.Atoi(n); !isNumber || err != nil {
				continue
			}
		}
		out["socket:["+inode+"]"] = true
	}
	return out
}

func holdsSocket(pid int, inodes map[string]bool) bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	d, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, n := range names {
		if target, err := os.Readlink(dir + "/" + n); err == nil && inodes[target] {
			return true
		}
	}
	return false
}
