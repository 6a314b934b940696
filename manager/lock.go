package manager

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Lock is an exclusive lock between processes, kept by an open file: it goes
// when the process does, however that ends. The file tells who holds it.
type Lock struct{ f *os.File }

// HeldError says that another process has the lock.
type HeldError struct {
	Path, Holder string

	holder process // zero where the file does not tell
}

// Error names the holder.
func (e *HeldError) Error() string { return fmt.Sprintf("%s is held by %s", e.Path, e.Holder) }

// TryLock takes the lock, or returns a *HeldError. Go opens files close-on-exec, so no supervisord inherits it.
func TryLock(path string) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		held := readHolder(f)
		f.Close()
		held.Path = path
		return nil, held
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	l := &Lock{f}
	l.sign()
	return l, nil
}

// sign writes who holds the lock: the first line for people, the second for
// whoever must be sure that it is the same process still.
func (l *Lock) sign() {
	if err := l.f.Truncate(0); err == nil {
		me := self()
		_, _ = l.f.WriteAt(fmt.Appendf(nil, "pid %d since %s\n%d %s\n", me.pid, time.Now().Format(time.RFC3339), me.pid, me.start), 0)
	}
}

// Unlock gives the lock back. It erases the name first, so that a name in the
// file is never that of a process that has given the lock back and lives.
func (l *Lock) Unlock() error { return errors.Join(l.f.Truncate(0), l.f.Close()) }

func readHolder(f *os.File) *HeldError {
	b := make([]byte, 128)
	n, _ := f.ReadAt(b, 0)
	people, exact, _ := strings.Cut(strings.TrimSpace(string(b[:n])), "\n")
	held := &HeldError{Holder: people}
	if people == "" {
		held.Holder = "another process"
	}
	_, _ = fmt.Sscanf(exact, "%d %s", &held.holder.pid, &held.holder.start)
	return held
}
