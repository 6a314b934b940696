package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// sweeps is how often the processes are looked through at most when some of
// them end meanwhile.
const sweeps = 3

// scan lists orphans. A look that found none while a process ended before its
// turn came proves nothing, for that one may have left a child that was not
// listed yet: then it looks again.
func (d *Daemon) scan(live identity) ([]Orphan, error) {
	d.mu.Lock()
	s := &sweep{url: d.conf.ServerURL, live: live, last: d.known, lastAs: d.knownAs, buf: make([]byte, 32<<10)}
	d.mu.Unlock()
	for range sweeps {
		s.ended = false
		found, err := s.look()
		if err != nil {
			return nil, fmt.Errorf("looking for orphans: %w", err)
		}
		if len(found) > 0 || !s.ended {
			return found, nil
		}
	}
	return nil, nil
}

// sweep is one search of /proc. For nearly all processes one file is read: only
// one that bears our mark is looked at more closely.
type sweep struct {
	url    string
	live   identity // whose family is not meant; zero: nobody's
	last   identity // supervisord as last seen
	lastAs string   // its command line
	above  map[int]bool
	buf    []byte
	ended  bool // a process that was listed had ended
}

// look passes over all processes once. An environment is empty for the moment
// of exec, so one that was is read again at the end.
func (s *sweep) look() ([]Orphan, error) {
	pids, err := allPIDs()
	if err != nil {
		return nil, err
	}
	var out []Orphan
	var empty []int
	for _, pid := range pids {
		env, err := s.environ(pid)
		switch {
		case err == nil && len(env) == 0:
			empty = append(empty, pid)
		case err == nil:
			out = s.judge(out, pid, env)
		}
	}
	for _, pid := range empty {
		if sid, err := unix.Getsid(pid); err != nil || sid == 0 {
			continue // gone, or the kernel's own
		}
		if env, err := s.environ(pid); err == nil {
			out = s.judge(out, pid, env)
		}
	}
	return out, nil
}

// judge adds the process to the orphans if it is one. A child that has not
// executed its program yet carries no mark where somebody else started its
// supervisord: it is known by the session and the command line of the
// supervisord that was last seen.
func (s *sweep) judge(out []Orphan, pid int, environ []byte) []Orphan {
	marked := bytes.Contains(environ, []byte(s.url))
	if !marked {
		if sid, err := unix.Getsid(pid); s.last.pid == 0 || err != nil || sid != s.last.pid {
			return out
		}
	}
	env := variablesOf(environ)
	st, err := readStat(pid)
	if err != nil || st.gone() || s.belongs(st) {
		return out
	}
	cmd := commandLine(pid)
	// Both are empty for the moment of exec itself.
	unborn := s.last.pid != 0 && st.session == s.last.pid && st.identity != s.last && (cmd == s.lastAs || cmd == "")
	if env["SUPERVISOR_SERVER_URL"] != s.url && env[spawnMark] != s.url && !unborn {
		return out
	}
	return append(out, Orphan{
		PID: pid, Name: env["SUPERVISOR_PROCESS_NAME"], Group: env["SUPERVISOR_GROUP_NAME"],
		Start: time.Now().Add(-st.age()), Command: cmd, identity: st.identity,
	})
}

// belongs says that a process is not meant: it is ours or above us, or the live
// supervisord or of its family.
func (s *sweep) belongs(st procStat) bool {
	if s.above == nil {
		s.above = ancestors(os.Getpid())
	}
	switch {
	case s.above[st.pid]:
		return true
	case s.live.pid == 0:
		return false
	case st.session == s.live.pid: // a supervisord that leads its session made that session's processes
		return true
	}
	return ancestors(st.pid)[s.live.pid]
}

// ancestors are a process and those above it.
func ancestors(pid int) map[int]bool {
	out := map[int]bool{}
	for pid > 0 && !out[pid] {
		out[pid] = true
		st, err := readStat(pid)
		if err != nil {
			break
		}
		pid = st.parent
	}
	return out
}

// environ reads /proc/PID/environ as it is, valid until the next call. An error
// means another user's process, or one that has ended.
func (s *sweep) environ(pid int) ([]byte, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/environ", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		s.ended = s.ended || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)
		return nil, err
	}
	defer unix.Close(fd)
	for n := 0; ; {
		if n == len(s.buf) {
			s.buf = append(s.buf, make([]byte, len(s.buf))...)
		}
		more, err := unix.Read(fd, s.buf[n:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			s.ended = s.ended || errors.Is(err, unix.ESRCH)
			return nil, err
		case more == 0:
			return s.buf[:n], nil
		}
		n += max(more, 0)
	}
}
