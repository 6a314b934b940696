package faults

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/swf"
)

// TestInterleavings are moments that no chance may be left to: the manager is
// held, paused or killed at a point while something else happens.
func TestInterleavings(t *testing.T) {
	runRows(t, []row{
		{name: "a start's copy that comes after a stop", run: copyAfterStop},
		{name: "manager killed before it acts beside a testbed of the CLI", run: killedBesideCLI},
		{name: "stop begun, manager killed, another testbed started by hand", run: newTestbedMeanwhile},
		{name: "stop while a start waits for a supervisord that is stopped (SIGSTOP)", run: stopBesideHungStart},
		{name: "manager stopped (SIGSTOP) in mid-start, then testbed stop-agents", run: pausedHolder},
		{name: "journal wiped while commands are young", run: journalWiped},
		{name: "looked up after expiry, then the late copy", run: lookedUpThenLate},
		{name: "the broker's clock 5 minutes off", run: brokerClock},
		{name: "the manager's clock 70 s off", run: managerClock},
		{name: "restart delivered three times", run: restartThrice},
	})
}

// later runs f and returns a channel for what it returns.
func later[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

// handled waits until everything that was published before has been dealt with.
func (s *site) handled(c *control.Client, u *user) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.Ping(ctx, u.name); err != nil {
		s.t.Fatal(err)
	}
}

func copyAfterStop(s *site, u *user, c *control.Client) {
	lost := start("")
	lost.ID, lost.IssuedAt = control.NewID(), time.Now()
	s.counts.Faults++
	s.want(c, u, stop, control.Succeeded)
	s.want(c, u, lost, control.Refused, swf.CodeSuperseded)
	u.standing(nil)
}

func killedBesideCLI(s *site, u *user, c *control.Client) {
	cli, err := testbed(u.name, u.paths, nil).Start(context.Background(), manager.StartRequest{ID: "cli"})
	if err != nil {
		s.t.Fatal(err)
	}
	u.strike(manager.AtHeld, 0, syscall.SIGKILL)
	asked := later(func() *operation { return s.ask(c, u, start(""), patience) })
	u.fallen(manager.AtHeld)
	if op := <-asked; code(op.heard) != swf.CodeInterrupted {
		s.t.Errorf("the start is %s", shown(op.heard))
	}
	u.standing(cli.Programs)
	s.want(c, u, stop, control.Succeeded)
	u.standing(nil)
}

func newTestbedMeanwhile(s *site, u *user, c *control.Client) {
	broughtUp(s, u, c)
	u.strike(manager.AtStopping, 0, syscall.SIGKILL)
	asked := later(func() *operation { return s.ask(c, u, stop, patience) })
	<-u.manager.ended
	by := testbed(u.name, u.paths, nil)
	if _, err := by.Stop(context.Background(), nil); err != nil {
		s.t.Fatal(err)
	}
	cli, err := by.Start(context.Background(), manager.StartRequest{ID: "cli"})
	if err != nil {
		s.t.Fatal(err)
	}
	u.start()
	if op := <-asked; op.heard.Outcome != control.Succeeded {
		s.t.Errorf("the stop is %s", shown(op.heard))
	}
	u.standing(cli.Programs)
	s.want(c, u, stop, control.Succeeded)
	u.standing(nil)
}

// paused waits until the manager has stopped itself.
func (u *user) paused() {
	u.s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); pause(2 * time.Millisecond) {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", u.manager.cmd.Process.Pid)); err == nil && contains(stat, ") T ") {
			return
		}
	}
	u.s.t.Fatal("the manager never came to that point")
}

func stopBesideHungStart(s *site, u *user, c *control.Client) {
	for _, at := range []manager.Point{manager.AtSpawned, manager.AtRunning} {
		u.strike(at, 0, syscall.SIGSTOP)
		started := later(func() *operation { return s.ask(c, u, start("slow"), patience) })
		u.paused()
		u.signalSupervisord(syscall.SIGSTOP)
		u.manager.signal(syscall.SIGCONT)
		s.handled(c, u)
		s.want(c, u, stop, control.Succeeded)
		u.standing(nil)
		if op := <-started; op.heard.Outcome != control.Failed {
			s.t.Errorf("the start is %s", shown(op.heard))
		}
	}
}

func pausedHolder(s *site, u *user, c *control.Client) {
	u.strike(manager.AtSpawned, 0, syscall.SIGSTOP)
	started := later(func() *operation { return s.ask(c, u, start(""), patience) })
	u.paused()
	if _, err := testbed(u.name, u.paths, nil).Stop(context.Background(), nil); err != nil {
		s.t.Error(err)
	}
	u.standing(nil)
	select {
	case <-u.manager.ended:
	case <-time.After(patience):
		s.t.Fatal("the manager that held the testbed is not killed: it could go on at any time")
	}
	u.start()
	if op := <-started; code(op.heard) != swf.CodeInterrupted {
		s.t.Errorf("the start is %s", shown(op.heard))
	}
	u.standing(nil)
}

// journalWiped: what the manager knew is gone while a copy may still be on its
// way; a command older than the journal is nobody's to repeat.
func journalWiped(s *site, u *user, c *control.Client) {
	first := u.wrote(s.want(c, u, start(""), control.Succeeded))
	s.want(c, u, stop, control.Succeeded)
	u.manager.kill()
	s.counts.Faults++
	kept, err := os.ReadFile(u.paths.Journal())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.Remove(u.paths.Journal()); err != nil {
		s.t.Fatal(err)
	}
	u.start()
	if r := s.late(c, u, first.cmd); code(r) != swf.CodeStale { // not in the history: the disk was lost
		s.t.Errorf("a copy of what ran is %s", shown(r))
	}
	u.standing(nil)
	u.manager.kill()
	if err := os.WriteFile(u.paths.Journal(), kept, 0o600); err != nil { // for the judge
		s.t.Fatal(err)
	}
	u.start()
}

func lookedUpThenLate(s *site, u *user, c *control.Client) {
	s.want(c, u, stop, control.Succeeded)
	cmd := start("")
	cmd.ID, cmd.IssuedAt = control.NewID(), time.Now()
	cmd.ExpiresAt = cmd.IssuedAt.Add(time.Second)
	pause(time.Until(cmd.ExpiresAt))
	for _, when := range []string{"the copy", "its copy"} {
		op := s.late(c, u, cmd)
		if op.Outcome != control.Expired {
			s.t.Errorf("%s is %s", when, shown(op))
		}
	}
	u.standing(nil)
}

// late sends a command that its client would not send any more, by a clock that
// is behind, and looks its outcome up.
func (s *site) late(c *control.Client, u *user, cmd control.Command) control.Reply {
	s.t.Helper()
	cmd.Username, cmd.IssuedBy = u.name, u.name
	r, err := manager.AskLocal(context.Background(), u.socket(), cmd, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	of := s.lookup(c, &operation{user: u, cmd: cmd})
	if of == nil || !same(*of, r) {
		s.t.Errorf("told %s, looked up %+v", shown(r), of)
	}
	return r
}

func (u *user) socket() string {
	u.s.t.Helper()
	path, err := manager.LocalSocket(u.paths)
	if err != nil {
		u.s.t.Fatal(err)
	}
	return path
}

// expires is that header of a frame.
var expires = regexp.MustCompile(`\nexpires:(\d{13})\n`)

// brokerClock: a broker whose clock is off sees each message expire that much
// earlier or later. The manager's clock decides, and nobody is taken for dead.
func brokerClock(s *site, u *user, c *control.Client) {
	for _, off := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		s.counts.Faults++
		var seen atomic.Int64
		shift := func(b []byte) {
			for _, at := range expires.FindAllSubmatchIndex(b, -1) {
				ms, err := strconv.ParseInt(string(b[at[2]:at[3]]), 10, 64)
				if err == nil {
					copy(b[at[2]:at[3]], strconv.FormatInt(ms-off.Milliseconds(), 10))
					seen.Add(1)
				}
			}
		}
		s.clients.edit.Store(&shift)
		u.link.edit.Store(&shift)
		s.handled(c, u)
		u.wrote(s.want(c, u, start(""), control.Succeeded))
		s.want(c, u, stop, control.Succeeded)
		u.manager.kill()
		cmd := start("")
		cmd.IssuedAt = time.Now()
		cmd.ExpiresAt = cmd.IssuedAt.Add(time.Second)
		op := s.ask(c, u, cmd, 2*time.Second)
		u.start()
		s.handled(c, u)
		if of := s.lookup(c, op); of == nil || of.Outcome != control.Expired {
			s.t.Errorf("with the broker's clock off by %s, what came too late is %+v", off, of)
		}
		u.standing(nil)
		if seen.Load() == 0 {
			s.t.Error("no message had an expiry to be shifted")
		}
	}
}

// managerClock: on the wire a manager's clock that is behind or ahead is a
// client's that is ahead or behind. Both are told; nothing runs.
func managerClock(s *site, u *user, c *control.Client) {
	s.want(c, u, stop, control.Succeeded)
	for off, want := range map[time.Duration]swf.Code{70 * time.Second: swf.CodeClockSkew, -70 * time.Second: swf.CodeExpired} {
		s.counts.Faults++
		cmd := start("")
		cmd.ID = control.NewID()
		cmd.IssuedAt = time.Now().Add(off)
		cmd.ExpiresAt = cmd.IssuedAt.Add(control.TTL)
		r := s.late(c, u, cmd)
		theirs, ours := cmd.IssuedAt, time.Now()
		if off < 0 {
			theirs = cmd.ExpiresAt
		}
		minute := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04") }
		if code(r) != want || !strings.Contains(r.Error.Message, minute(theirs)) || !strings.Contains(r.Error.Message, minute(ours)) && !strings.Contains(r.Error.Message, minute(ours.Add(-30*time.Second))) {
			s.t.Errorf("with clocks %s apart: %s; want %s with both clocks", off, shown(r), want)
		}
		if again := s.late(c, u, cmd); !same(r, again) { // also 2 s later, when the skew is less
			s.t.Errorf("a copy is %s", shown(again))
		}
	}
	u.standing(nil)
}

// restartThrice: a restart that comes again finds that it was made.
func restartThrice(s *site, u *user, c *control.Client) {
	broughtUp(s, u, c)
	s.counts.Faults++
	cmd := control.Command{Verb: control.Restart, ID: control.NewID(), IssuedAt: time.Now()}
	op := u.keep(later(func() *operation { return s.ask(c, u, cmd, patience) }))
	if op.heard.Outcome != control.Succeeded {
		s.t.Fatalf("the restart is %s", shown(op.heard))
	}
	left := u.manager
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if again := s.ask(c, u, cmd, patience); !same(again.heard, op.heard) {
				s.t.Errorf("a further copy is %s", shown(again.heard))
			}
		})
	}
	wg.Wait()
	s.handled(c, u)
	select {
	case <-left.ended:
		s.t.Error("it restarted twice")
	default:
	}
}
