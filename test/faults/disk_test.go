package faults

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/swf"
)

// TestDisks: a manager whose disk is full, or cannot be written, says so and
// guesses nothing. The disks are small ones of their own, which only root can
// mount.
func TestDisks(t *testing.T) {
	if os.Getuid() != 0 {
		need(t, errors.New("only root can mount a small disk"))
	}
	runRows(t, []row{
		{name: "disk full", run: diskFull},
		{name: "journal on a read-only disk", run: journalReadOnly},
	})
}

// direct sends a command that is left out of the history: what cannot be
// written down has no record to be judged by.
func (s *site) direct(c *control.Client, u *user, cmd control.Command) control.Reply {
	s.t.Helper()
	cmd.Username, cmd.IssuedBy = u.name, u.name
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := c.Ask(ctx, cmd, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// stopByHand is testbed stop-agents beside a running manager. It is no part of
// the history, as it may leave no record: for the judge it is a crash.
func (u *user) stopByHand() control.Reply {
	cmd := stop
	cmd.Username, cmd.IssuedBy = u.name, u.name
	from := time.Now()
	defer func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.crashes = append(u.crashes, crash{from, time.Now()})
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := manager.AskLocal(ctx, u.socket(), cmd, nil)
	if err != nil {
		u.s.t.Error(err)
	}
	return r
}

// onSmallDisk puts the user's state folder on a disk of 16 MiB.
func (u *user) onSmallDisk() {
	t := u.s.t
	t.Helper()
	u.manager.kill()
	kept, err := filepath.Glob(filepath.Join(u.paths.State, "*"))
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string][]byte)
	for _, path := range kept {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			if texts[path], err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	need(t, unix.Mount("faults", u.paths.State, "tmpfs", 0, "size=16m,mode=0700"))
	t.Cleanup(func() {
		u.sweep()
		if err := unix.Unmount(u.paths.State, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for path, text := range texts {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u.start()
}

// fill leaves that many bytes of a disk.
func (u *user) fill(leave uint64) (empty func()) {
	u.s.t.Helper()
	u.s.counts.Faults++
	path := filepath.Join(u.paths.State, "ballast")
	f, err := os.Create(path)
	if err != nil {
		u.s.t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 4096); ; {
		var st unix.Statfs_t
		if err := unix.Statfs(path, &st); err != nil {
			u.s.t.Fatal(err)
		}
		if st.Bavail*uint64(st.Bsize) <= leave {
			break
		}
		if _, err := f.Write(chunk); errors.Is(err, unix.ENOSPC) {
			break
		} else if err != nil {
			u.s.t.Fatal(err)
		}
	}
	return func() { _ = os.Remove(path) }
}

func diskFull(s *site, u *user, c *control.Client) {
	u.onSmallDisk()
	broughtUp(s, u, c)
	first := s.want(c, u, start(""), control.Refused, swf.CodeAgentsRunning)
	empty := u.fill(1 << 20)
	if r := s.want(c, u, start("slow"), control.Refused, swf.CodeDiskFull); !strings.Contains(r.heard.Error.Hint, u.paths.State) {
		s.t.Errorf("the hint does not say where: %+v", r.heard.Error)
	}
	s.want(c, u, stop, control.Succeeded) // for which the last of the space is kept
	u.standing(nil)
	empty()
	s.want(c, u, start(""), control.Succeeded)

	empty = u.fill(0)
	s.handled(c, u)
	if of := s.lookup(c, first); of == nil || code(*of) != swf.CodeAgentsRunning {
		s.t.Errorf("an old outcome is %+v", of)
	}
	stopped := later(u.stopByHand)
	for deadline := time.Now().Add(patience); len(u.family()) > 0 && time.Now().Before(deadline); {
		pause(20 * time.Millisecond)
	}
	u.standing(nil) // whether or not it could be written down
	empty()
	if r := <-stopped; r.Outcome != control.Succeeded {
		s.t.Errorf("a stop with no byte left is %s", shown(r))
	}
	u.wrote(s.want(c, u, start(""), control.Succeeded))
	s.want(c, u, stop, control.Succeeded)
}

func journalReadOnly(s *site, u *user, c *control.Client) {
	old := u.wrote(s.want(c, u, start(""), control.Succeeded))
	u.manager.kill()
	path := u.paths.Journal()
	need(s.t, unix.Mount(path, path, "", unix.MS_BIND, ""))
	writable := func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			s.t.Error(err)
		}
	}
	if err := unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		writable()
		s.t.Fatal(err)
	}
	s.counts.Faults++
	u.spawn()
	up := u.manager.await()
	if !up {
		writable()
		s.t.Fatal("the manager does not start")
	}
	r := s.direct(c, u, stop)
	if code(r) != swf.CodeJournalSealed || !strings.Contains(r.Error.Message, "read-only") {
		s.t.Errorf("a new command is %s", shown(r))
	}
	if again := s.direct(c, u, old.cmd); !same(again, old.heard) {
		s.t.Errorf("a copy of an old command is %s", shown(again))
	}
	if of := s.lookup(c, old); of == nil || !same(*of, old.heard) {
		s.t.Errorf("an old outcome is %+v", of)
	}
	u.standing(old.heard.Programs)
	if r := u.stopByHand(); r.Outcome != control.Succeeded {
		s.t.Errorf("the stop of the person there is %s", shown(r))
	}
	u.standing(nil)
	u.manager.kill()
	writable()
	u.start()
	s.want(c, u, stop, control.Succeeded)
}
