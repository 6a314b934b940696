package manager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/swf"
)

// process is one process for certain: a pid alone may be another's by now.
type process struct {
	pid   int
	start string // clock ticks from boot to its start
}

func self() process { return process{os.Getpid(), startOf(os.Getpid())} }

// startOf returns when a process started, "" when there is none.
func startOf(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name in parentheses may hold anything; fields are counted behind it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return ""
	}
	if _, err := strconv.ParseUint(fields[19], 10, 64); err != nil {
		return ""
	}
	return fields[19]
}

// kill ends the process and waits until it has gone. It touches nothing, and
// returns false, when the process is not that one any more, or is this one.
func (p process) kill(ctx context.Context) (bool, error) {
	if p.pid <= 1 || p.start == "" || p.pid == os.Getpid() {
		return false, nil
	}
	fd, err := supervisor.OpenPidfd(p.pid)
	if err != nil {
		return false, nil // gone
	}
	defer unix.Close(fd)
	if startOf(p.pid) != p.start { // compared while held: from here on the pid cannot be another's
		return false, nil
	}
	if err := supervisor.SignalPidfd(fd, unix.SIGKILL); err != nil {
		return false, err
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 200)
		if n > 0 {
			return true, nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return true, err
		}
		if ctx.Err() != nil {
			return true, context.Cause(ctx)
		}
	}
}

// fenceMargin is how long, over stopwaitsecs, a stop waits for whoever is
// changing this testbed.
const fenceMargin = 5 * time.Second

// waitLock takes the executor lock for a stop. Another process is starting or
// stopping this testbed: a start heeds the wish and undoes itself, a stop ends
// within stopwaitsecs. Who does neither is paused or broken, and could act at
// any later time: it is killed, which is the only fence (design, rule 14).
func (t *Testbed) waitLock(ctx context.Context, d *supervisor.Daemon) (*Lock, error) {
	patience := fenceMargin
	for _, p := range d.Conf().Programs {
		patience = max(patience, time.Duration(p.StopWaitSecs)*time.Second+fenceMargin)
	}
	var wish wish
	defer wish.withdraw()
	var holder process
	var since time.Time
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		lock, err := TryLock(t.execLockPath(d))
		held := new(HeldError)
		if !errors.As(err, &held) {
			return lock, err
		}
		wish.express(t.wishPath(d))
		switch {
		case held.holder != holder || since.IsZero(): // each holder has its own time
			holder, since = held.holder, time.Now()
		case time.Since(since) > patience:
			since = time.Now()
			killed, err := holder.kill(ctx)
			if err != nil {
				return nil, supervisorFailed(fmt.Sprintf("%s keeps this testbed from being stopped and cannot be ended", held.Holder), err)
			}
			if killed {
				t.o.Log.Warn("killed the process that held this testbed and did not move", "holder", held.Holder, "waited", patience)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, swf.E(swf.CodeBusy, "another start or stop of this testbed is under way, by "+held.Holder, "wait until it has ended, then look: testbed status").Because(err)
		}
	}
}

// wish is the mark of a stop that waits: a shared lock on a file of its own,
// so that it goes when the one that waits does. Starts look for it.
type wish struct{ f *os.File }

func (t *Testbed) wishPath(d *supervisor.Daemon) string { return t.besideSocket(d, "stop-wanted") }

// express makes the mark, if it is not made yet. A start that just looks has
// the lock for a moment, so it is called again.
func (w *wish) express(path string) {
	if w.f != nil {
		return
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return // without it the wait is longer, and as safe
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil {
		f.Close()
		return
	}
	w.f = f
}

func (w *wish) withdraw() {
	if w.f != nil {
		w.f.Close()
	}
}

func stopWanted(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// errOvertakenElsewhere is errOvertaken by a stop of another process. Such a
// start undoes itself: that process may be gone by the time the lock is free.
var errOvertakenElsewhere = fmt.Errorf("in another process: %w", errOvertaken)

// heedStops ends the context of a start, as overtaken, when another process
// waits to stop this testbed.
func (t *Testbed) heedStops(ctx context.Context, d *supervisor.Daemon) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if stopWanted(t.wishPath(d)) {
					cancel(errOvertakenElsewhere)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}
