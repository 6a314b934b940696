package supervisor

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// exits waits for the ends of a snapshot's processes without asking supervisord,
// which has better to do while it stops them. It only says when it is time to
// ask again: a pid that was another's by then costs one question. Close it.
type exits struct {
	fds  []unix.PollFd // those that have ended have Fd -1
	pids []int
}

// watch holds on to the active processes but those that are known to have
// ended. Where the kernel has no pidfds there are none.
func watch(ps []Process, ended map[int]bool) *exits {
	e := &exits{}
	for _, p := range ps {
		if !p.Active() || p.PID == 0 || ended[p.PID] {
			continue
		}
		if fd, err := OpenPidfd(p.PID); err == nil {
			e.fds = append(e.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
			e.pids = append(e.pids, p.PID)
		} else if errors.Is(err, unix.ESRCH) {
			ended[p.PID] = true
		}
	}
	return e
}

// wait returns when all have ended or limit is over, and books those that have.
func (e *exits) wait(ctx context.Context, limit time.Duration, ended map[int]bool) error {
	until := time.Now().Add(limit)
	for open := len(e.fds); open > 0 && ctx.Err() == nil; {
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		n, err := unix.Poll(e.fds, int(left.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return pause(ctx, left)
		}
		for i := range e.fds {
			if f := &e.fds[i]; n > 0 && f.Fd >= 0 && f.Revents != 0 {
				unix.Close(int(f.Fd))
				f.Fd, ended[e.pids[i]] = -1, true
				open--
			}
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// Close lets go of all processes.
func (e *exits) Close() {
	for _, f := range e.fds {
		if f.Fd >= 0 {
			unix.Close(int(f.Fd))
		}
	}
}
