package supervisor

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handle holds on to one process, so that a signal or a wait can never reach a
// later one with the same pid. Close it.
type handle struct {
	identity
	fd *os.File // nil where the kernel has no pidfds: then /proc is asked
}

// hold opens a handle; errGone when that very process is no more.
func hold(id identity) (*handle, error) {
	h := &handle{identity: id}
	fd, err := OpenPidfd(id.pid)
	switch {
	case err == nil:
		// The runtime's poller can wait for a descriptor that does not block.
		if err := unix.SetNonblock(fd, true); err != nil {
			unix.Close(fd)
			return nil, err
		}
		h.fd = os.NewFile(uintptr(fd), "pidfd")
	case errors.Is(err, syscall.ESRCH), errors.Is(err, syscall.EINVAL):
		return nil, errGone
	case errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EPERM):
	default:
		return nil, err
	}
	if !id.alive() {
		h.Close()
		return nil, errGone
	}
	return h, nil
}

var errGone = errors.New("process is gone")

// Close lets go of the process.
func (h *handle) Close() {
	if h.fd != nil {
		h.fd.Close()
	}
}

// signal sends sig; errGone when there is nobody to receive it.
func (h *handle) signal(sig syscall.Signal) error {
	var err error
	if h.fd != nil {
		var conn syscall.RawConn
		if conn, err = h.fd.SyscallConn(); err != nil {
			return err
		}
		if cerr := conn.Control(func(fd uintptr) { err = SignalPidfd(int(fd), sig) }); cerr != nil {
			return cerr
		}
	} else if !h.alive() {
		err = syscall.ESRCH
	} else {
		err = syscall.Kill(h.pid, sig)
	}
	if errors.Is(err, syscall.ESRCH) {
		return errGone
	}
	return err
}

// wait returns nil once the process has ended, a corpse that nobody reaps
// included, or the context's error.
func (h *handle) wait(ctx context.Context) error {
	if h.fd == nil {
		return h.waitProc(ctx)
	}
	stop := context.AfterFunc(ctx, func() { _ = h.fd.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			_ = h.fd.SetReadDeadline(time.Time{})
		}
	}()
	conn, err := h.fd.SyscallConn()
	if err != nil {
		return err
	}
	err = conn.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		return err == nil && n > 0
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return h.waitProc(ctx) // a kernel whose poller does not take pidfds
}

func (h *handle) waitProc(ctx context.Context) error {
	for h.alive() {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// pause waits on a timer that the context can cut short.
func pause(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
