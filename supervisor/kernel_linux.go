package supervisor

import (
	"time"

	"golang.org/x/sys/unix"
)

// OpenPidfd holds on to a process by a descriptor, which the caller closes:
// while it is open, no later process with that pid can be taken for this one.
func OpenPidfd(pid int) (fd int, err error) { return unix.PidfdOpen(pid, 0) }

// SignalPidfd sends a signal to the process behind a descriptor of OpenPidfd.
func SignalPidfd(fd int, sig unix.Signal) error { return unix.PidfdSendSignal(fd, sig, nil, 0) }

// PeerPID is the process at the other end of a connected unix socket, as the
// kernel says.
func PeerPID(fd int) (int, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return int(cred.Pid), nil
}

// sinceBoot is the clock that start times of processes are told in.
func sinceBoot() (time.Duration, error) {
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return time.Duration(now.Nano()), err
}
