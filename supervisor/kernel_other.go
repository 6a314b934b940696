//go:build !linux

package supervisor

import (
	"time"

	"golang.org/x/sys/unix"
)

// OpenPidfd holds on to a process, on Linux alone: elsewhere the kernel has
// nothing of the kind, and it fails.
func OpenPidfd(pid int) (fd int, err error) { return -1, unix.ENOSYS }

// SignalPidfd sends a signal to what OpenPidfd holds: here nothing.
func SignalPidfd(fd int, sig unix.Signal) error { return unix.ENOSYS }

// PeerPID is the process at the other end of a unix socket, on Linux alone.
func PeerPID(fd int) (int, error) { return 0, unix.ENOSYS }

func sinceBoot() (time.Duration, error) { return 0, unix.ENOSYS }
