package manager

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// LifeEnv is the environment variable by which a manager that replaces itself
// hands its life lock to the next: the descriptor and the path of the lock.
const LifeEnv = "SWF_MANAGER_LIFE"

// HandOver makes the lock survive an exec of this process, which must follow
// at once: whatever else is started meanwhile inherits the lock too. It returns
// the value for LifeEnv.
func (l *Lock) HandOver() (string, error) {
	fd := int(l.f.Fd())
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
		return "", fmt.Errorf("hand over %s: %w", l.f.Name(), err)
	}
	return fmt.Sprintf("%d:%s", fd, l.f.Name()), nil
}

// AdoptLock takes over what HandOver left under that value. It fails, and
// touches nothing, when the descriptor is not that lock: then the lock can only
// be taken as by anybody else.
func AdoptLock(value string) (*Lock, error) {
	number, path, _ := strings.Cut(value, ":")
	fd, err := strconv.Atoi(number)
	if err != nil || fd <= 2 || path == "" {
		return nil, fmt.Errorf("%s=%q is no handed-over lock", LifeEnv, value)
	}
	var have, want syscall.Stat_t
	if err := errors.Join(syscall.Fstat(fd, &have), syscall.Stat(path, &want)); err != nil {
		return nil, fmt.Errorf("adopt %s: %w", path, err)
	}
	if have.Dev != want.Dev || have.Ino != want.Ino {
		return nil, fmt.Errorf("adopt %s: descriptor %d is another file", path, fd)
	}
	unix.CloseOnExec(fd) // no supervisord may inherit it
	l := &Lock{os.NewFile(uintptr(fd), path)}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil { // no change where it is held already
		return nil, errors.Join(fmt.Errorf("adopt %s: %w", path, err), l.f.Close())
	}
	l.sign()
	return l, nil
}

// takeLife takes the lock that a manager of this testbed holds while it lives,
// or uses the one that the manager before it, in this very process, kept.
func (m *Manager) takeLife() (*Lock, error) {
	path, err := m.o.Testbed.LifeLockPath()
	if err != nil {
		return nil, err
	}
	if l := m.o.Life; l != nil {
		if l.f.Name() == path {
			return l, nil
		}
		m.log.Info("the testbed's socket has moved since the restart", "lock", path)
		if err := l.Unlock(); err != nil {
			return nil, err
		}
	}
	return TryLock(path)
}

// leaveLife ends the hold on the life lock, except over a restart whose next
// manager is to have it without a gap.
func (m *Manager) leaveLife(l *Lock, why error) {
	if errors.Is(why, ErrRestart) && m.o.Keep != nil {
		m.o.Keep(l)
		return
	}
	if err := l.Unlock(); err != nil && !errors.Is(err, os.ErrClosed) {
		m.log.Warn("life lock", "err", err)
	}
}
