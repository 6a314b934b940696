package faults

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/swf"
)

func pidOf(p swf.Program) string { return strconv.Itoa(p.PID) }

// blow is what befalls a manager at one of its points.
type blow struct {
	At     manager.Point
	After  int // how often the point is passed unharmed
	Signal syscall.Signal
}

func blowFile(p config.Paths) string { return filepath.Join(p.Dir, "blow") }

// struck makes a manager deal itself the blow that lies in its folder, once.
func struck(p config.Paths) func(manager.Point) {
	return func(at manager.Point) {
		text, err := os.ReadFile(blowFile(p))
		var b blow
		if err != nil || json.Unmarshal(text, &b) != nil || b.At != at {
			return
		}
		if b.After--; b.After >= 0 {
			text, _ = json.Marshal(b)
			_ = os.WriteFile(blowFile(p), text, 0o600)
			return
		}
		_ = os.Remove(blowFile(p))
		// To this very thread: a process is stopped by whichever of its threads
		// comes first, and this one would go on meanwhile.
		runtime.LockOSThread()
		_ = unix.Tgkill(os.Getpid(), unix.Gettid(), b.Signal)
		runtime.UnlockOSThread()
		for b.Signal == syscall.SIGKILL {
			pause(time.Hour)
		}
	}
}

// strike lays a blow for the user's manager.
func (u *user) strike(at manager.Point, after int, sig syscall.Signal) {
	u.s.t.Helper()
	u.s.counts.Faults++
	text, err := json.Marshal(blow{at, after, sig})
	if err == nil {
		err = os.WriteFile(blowFile(u.paths)+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(blowFile(u.paths)+".new", blowFile(u.paths))
	}
	if err != nil {
		u.s.t.Fatal(err)
	}
}

// fallen waits until the manager has died of the blow, and brings it back. It
// returns how long that took to take commands.
func (u *user) fallen(at manager.Point) time.Duration {
	u.s.t.Helper()
	select {
	case <-u.manager.ended:
	case <-time.After(patience):
		u.s.t.Fatalf("the manager never came to the point %q", at)
	}
	if _, err := os.Stat(blowFile(u.paths)); !errors.Is(err, fs.ErrNotExist) {
		u.s.t.Fatalf("the manager died, but not at the point %q: %v", at, err)
	}
	began := time.Now()
	u.spawn()
	if !u.manager.await() { // it found a restart in its queue, and left at once
		u.start()
	}
	return time.Since(began)
}

// family is every process of the user's testbed: supervisord, its programs, and
// what these started.
func (u *user) family() []string {
	u.s.t.Helper()
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		u.s.t.Fatal(err)
	}
	var found []string
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err != nil || !contains(env, "unix://"+u.paths.Dir+"/") {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		found = append(found, filepath.Base(filepath.Dir(path))+" "+strings.ReplaceAll(string(line), "\x00", " "))
	}
	return found
}

// standing wants exactly what an outcome says: the programs of a start that
// succeeded once each, or nothing at all.
func (u *user) standing(programs []swf.Program) {
	u.s.t.Helper()
	family := u.family()
	for _, p := range programs {
		if !slices.ContainsFunc(family, func(f string) bool { return strings.HasPrefix(f, pidOf(p)+" ") }) {
			u.s.t.Errorf("%s with pid %d is told to be RUNNING; these are: %q", p.Name, p.PID, family)
		}
	}
	// supervisord, the effect log's shell and its sleep; and the slow one.
	if most := 3 + len(programs) - 1; len(programs) > 0 && len(family) > most || len(programs) == 0 && len(family) > 0 {
		u.s.t.Errorf("%d programs are told to be RUNNING; these are: %q", len(programs), family)
	}
}

// killing is where a manager is killed under a command, and what must come of it.
type killing struct {
	at      manager.Point
	after   int
	outcome control.Outcome
	code    swf.Code
}

// as reports whether a command that was killed there may end so. Who
// acknowledges one does so beside its executor, which may have begun by then.
func (k killing) as(r control.Reply) bool {
	begun := k.at == manager.AtAcked && r.Outcome == control.Failed && (code(r) == swf.CodeInterrupted || code(r) == swf.CodeUnconfirmed)
	return begun || r.Outcome == k.outcome && code(r) == k.code
}

// kills kills the manager under a command at each of these points, with prepare
// before each.
func kills(points []killing, cmd func() control.Command, prepare func(s *site, u *user, c *control.Client)) func(*site, *user, *control.Client) {
	return func(s *site, u *user, c *control.Client) {
		var slowest time.Duration
		for _, k := range points {
			prepare(s, u, c)
			u.strike(k.at, k.after, syscall.SIGKILL)
			asked := make(chan *operation, 1)
			go func() { asked <- s.ask(c, u, cmd(), patience) }()
			slowest = max(slowest, u.fallen(k.at))
			op := u.keep(asked)
			if op.err != nil || !k.as(op.heard) {
				s.t.Errorf("killed at %q it is %s, %v; want %s %s", k.at, shown(op.heard), op.err, k.outcome, k.code)
			}
			s.stands(u, c, op)
		}
		s.t.Logf("%d kills; after each it took commands again within %.1f s (promised: 5 s)", len(points), slowest.Seconds())
	}
}

// keep waits for the outcome and does what a service manager does meanwhile: a
// manager that leaves for a restart is started anew.
func (u *user) keep(asked <-chan *operation) *operation {
	for {
		select {
		case op := <-asked:
			return op
		case <-u.manager.ended:
			u.start()
		}
	}
}

// stands compares what runs with the outcome of the last command.
func (s *site) stands(u *user, c *control.Client, op *operation) {
	s.t.Helper()
	switch {
	case op.cmd.Verb == control.StartTestbed && op.heard.Outcome == control.Succeeded:
		u.wrote(op)
		u.standing(op.heard.Programs)
	case op.cmd.Verb == control.StartTestbed, op.cmd.Verb == control.StopTestbed, op.cmd.Verb == control.Restart:
		u.standing(nil)
	}
	again := s.ask(c, u, op.cmd, patience) // the same id once more: the same outcome, no effect
	if !same(again.heard, op.heard) {
		s.t.Errorf("%s was %s, asked again %s", op.cmd.ID, shown(op.heard), shown(again.heard))
	}
}

func broughtDown(s *site, u *user, c *control.Client) {
	s.want(c, u, stop, control.Succeeded)
	u.standing(nil)
}

func broughtUp(s *site, u *user, c *control.Client) {
	broughtDown(s, u, c)
	u.wrote(s.want(c, u, start(""), control.Succeeded))
}

// wrote waits until the program of a start that succeeded wrote its line: it is
// RUNNING, and may be stopped, a moment before.
func (u *user) wrote(op *operation) *operation {
	u.s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); pause(10 * time.Millisecond) {
		effects, err := readEffects(u.effects())
		if err != nil {
			u.s.t.Fatal(err)
		}
		if slices.ContainsFunc(effects, func(e effect) bool { return !e.stop && e.id == op.cmd.ID }) {
			return op
		}
	}
	u.s.t.Fatalf("the program of start %s wrote nothing", op.cmd.ID)
	return op
}

func always(cmd control.Command) func() control.Command { return func() control.Command { return cmd } }

// interruptedAt are the points at which a start is not finished but undone.
func interruptedAt(points ...manager.Point) []killing {
	var all []killing
	for _, p := range points {
		all = append(all, killing{p, 0, control.Failed, swf.CodeInterrupted})
	}
	return all
}

func succeedsAt(points ...manager.Point) []killing {
	var all []killing
	for _, p := range points {
		all = append(all, killing{p, 0, control.Succeeded, ""})
	}
	return all
}

// TestCrashPoints kills a manager at every point that a command comes to (P1,
// P2, P9), over each broker.
func TestCrashPoints(t *testing.T) {
	runRows(t, crashRows())
}

func crashRows() []row {
	begins := succeedsAt(manager.AtReceived, manager.AtJournaled, manager.AtAccepted, manager.AtAcked, manager.AtTurn)
	undone := append(interruptedAt(manager.AtBegun, manager.AtHeld, manager.AtActing, manager.AtPrepared, manager.AtCleared, manager.AtSpawned,
		manager.AtRunning), killing{manager.AtRunning, 1, control.Failed, swf.CodeInterrupted})
	undone = append(undone, interruptedAt(manager.AtUp, manager.AtNoted, manager.AtConclude)...)
	ends := succeedsAt(manager.AtStopping, manager.AtStopped, manager.AtDown, manager.AtUnnoted, manager.AtConclude, manager.AtDone)
	ahead := func() control.Command {
		now := time.Now().Add(70 * time.Second)
		return control.Command{Verb: control.StartTestbed, IssuedAt: now, ExpiresAt: now.Add(control.TTL)}
	}
	return []row{
		{name: "manager killed at each point of a start it then makes", run: kills(append(begins, succeedsAt(manager.AtDone)...), always(start("slow")), broughtDown)},
		{name: "manager killed at each point of a start it undoes", run: kills(undone, always(start("slow")), broughtDown)},
		{name: "manager killed while a start is undone", run: kills(interruptedAt(manager.AtUndoing), always(start("dies")), broughtDown)},
		{name: "manager killed while it refuses", run: kills([]killing{{manager.AtRefused, 0, control.Refused, swf.CodeClockSkew}}, ahead, broughtDown)},
		{name: "manager killed at each point of a stop", run: kills(append(append(succeedsAt(manager.AtTargeted), begins...), ends...), always(stop), broughtUp)},
		{name: "manager killed at each point of a restart", run: kills(append(append(slices.Clone(begins), succeedsAt(manager.AtBegun, manager.AtLeaving)...), ends[:4]...), always(control.Command{Verb: control.Restart}), broughtUp)},
		{name: "manager killed again while it recovers", run: killedAgain},
		{name: "manager killed under a stop that overtakes a start over orphans", run: stopOverOrphans},
	}
}

// killedAgain: who finds a start half made is killed at each point of undoing
// it, and who comes next ends it all the same, with one outcome.
func killedAgain(s *site, u *user, c *control.Client) {
	for _, at := range []manager.Point{manager.AtRecovered, manager.AtStopping, manager.AtStopped, manager.AtDown, manager.AtUnnoted, manager.AtConclude} {
		broughtDown(s, u, c)
		u.strike(manager.AtUp, 0, syscall.SIGKILL)
		asked := make(chan *operation, 1)
		go func() { asked <- s.ask(c, u, start(""), patience) }()
		<-u.manager.ended
		u.strike(at, 0, syscall.SIGKILL)
		u.spawn()
		u.fallen(at)
		op := <-asked
		if code(op.heard) != swf.CodeInterrupted {
			s.t.Errorf("killed again at %q it is %s", at, shown(op.heard))
		}
		s.stands(u, c, op)
	}
}

// stopOverOrphans: a start is about to end what an earlier one left when a stop
// overtakes it and the manager dies. Whoever recovers the stop must know of the
// orphans.
func stopOverOrphans(s *site, u *user, c *control.Client) {
	broughtDown(s, u, c)
	s.want(c, u, start("deaf"), control.Succeeded) // as an orphan it lives for two seconds more
	u.signalSupervisord(syscall.SIGKILL)
	u.strike(manager.AtPrepared, 0, syscall.SIGSTOP)
	started, stopped := make(chan *operation, 1), make(chan *operation, 1)
	go func() { started <- s.ask(c, u, start(""), patience) }()
	u.paused()
	u.strike(manager.AtAccepted, 0, syscall.SIGKILL)
	go func() { stopped <- s.ask(c, u, stop, patience) }()
	u.manager.signal(syscall.SIGCONT)
	u.fallen(manager.AtAccepted)
	op := <-stopped
	if op.heard.Outcome != control.Succeeded {
		s.t.Errorf("the stop: %s", shown(op.heard))
	}
	s.stands(u, c, op)
	<-started
}
