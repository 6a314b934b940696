package manager

import (
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epic-swf/testbed/supervisor"
)

// fileStamp tells one state of a file from the next. The zero stamp is that of no
// file.
type fileStamp struct {
	dev, inode   uint64
	size         int64
	wrote, moved int64 // mtime and ctime, ns: no program can set the latter back
}

// stampOf looks at path. With an error the stamp is the zero one, for which
// nothing is kept.
func stampOf(path string) (fileStamp, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fileStamp{}, err
	}
	return fileStamp{dev: uint64(st.Dev), inode: st.Ino, size: st.Size, wrote: st.Mtim.Nano(), moved: st.Ctim.Nano()}, nil
}

// fileTick is longer than a tick of the clock that files are stamped with: what
// was changed twice within one may bear one stamp.
const fileTick = 100 * time.Millisecond

// settled reports whether a change at or after began would show in the stamp.
func (s fileStamp) settled(began time.Time, tick time.Duration) bool {
	return s != fileStamp{} && max(s.wrote, s.moved) < began.Add(-tick).UnixNano()
}

// kept is what looks have read of the testbed's files, for the next look: they
// come often, the files seldom change. Safe for concurrent use.
type kept struct {
	tick time.Duration // fileTick, but in tests
	mu   sync.Mutex

	conf   fileStamp
	env    []string // with which conf was read
	daemon *supervisor.Daemon

	note    fileStamp
	started *started
}

// supervisor is the supervisord that the file at path describes in that
// environment, as read before if both are the same, else as read reads it.
func (k *kept) supervisor(path string, env []string, read func() (*supervisor.Daemon, error)) (*supervisor.Daemon, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	began := time.Now()
	now, _ := stampOf(path) // what is wrong with the file its reader says
	if k.daemon != nil && now == k.conf && slices.Equal(env, k.env) {
		return k.daemon, nil
	}
	d, err := read()
	k.daemon = nil
	if err == nil && now.settled(began, k.tick) && !d.Conf().Included { // of what is included nothing is known but the names
		k.conf, k.env, k.daemon = now, env, d
	}
	return d, err
}

// lastStart is the note of the last start at path, as read before if the file
// is the same, else as read reads it. Nobody may change it.
func (k *kept) lastStart(path string, read func() (*started, error)) (*started, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	began := time.Now()
	now, err := stampOf(path)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if k.started != nil && now == k.note {
		return k.started, nil
	}
	s, err := read()
	k.started = nil
	if err == nil && now.settled(began, k.tick) {
		k.note, k.started = now, s
	}
	return s, err
}
