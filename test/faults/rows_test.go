package faults

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// row is a fault, put on purpose at a site of one user whose manager runs. The
// manager tells a monitor that is down for the whole test (P11).
type row struct {
	name  string
	harms bool // it kills the broker
	run   func(s *site, u *user, c *control.Client)
}

// runRows runs each over each broker, in the whole suite with three seeds. What
// clients heard, journals and effects are judged at the end of each.
func runRows(t *testing.T, all []row) {
	t.Parallel()
	for _, r := range all {
		rows.expect(r.name)
	}
	forEachBroker(t, func(t *testing.T, k kind) {
		for _, r := range all {
			for _, seed := range seeds() {
				name := r.name
				if *whole {
					name = fmt.Sprintf("%s, seed %d", name, seed)
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					r.over(t, k, seed)
				})
			}
		}
	})
}

func (r row) over(t *testing.T, k kind, seed uint64) {
	s := newSite(t, setting{kind: k, harmed: r.harms, seed: seed})
	s.users[0].start()
	c := s.client(nil)
	r.run(s, s.users[0], c)
	s.resolve(c)
	s.clean(r.name)
}

func TestFaults(t *testing.T) {
	runRows(t, []row{
		{"link cut after SEND, before accepted", false, cutAfterSend},
		{"reply lost", false, replyLost},
		{"the same id 50 times at once, later, and with other arguments", false, sameID},
		{"manager down until the command is too old", false, tooOld},
		{"manager killed at every point that the wire shows", false, killPoints},
		{"broker killed during a stream of commands", true, brokerKilled},
		{"link cut at any moment of 20 starts", false, cutAnywhere},
		{"black hole, both ways", false, blackHole},
		{"stop during start, at 20 moments", false, stopDuringStart},
		{"supervisord killed with a live agent", false, supervisordKilled},
		{"supervisord stopped (SIGSTOP)", false, supervisordHung},
		{"stale socket and stale pid file", false, staleFiles},
		{"agents that exit, ignore TERM, flood their log", false, badAgents},
		{"two managers of one user", false, twoManagers},
		{"journal truncated", false, journalTruncated},
	})
}

func start(config string) control.Command {
	return control.Command{Verb: control.StartTestbed, ConfigName: config}
}

// told is in the outcome of a start or stop, and not in that of a ping.
const told = `"outcome":"succeeded","message"`

var stop = control.Command{Verb: control.StopTestbed}

// want sends a command and wants that outcome.
func (s *site) want(c *control.Client, u *user, cmd control.Command, outcome control.Outcome, codes ...swf.Code) *operation {
	s.t.Helper()
	op := s.ask(c, u, cmd, patience)
	if op.err != nil {
		s.t.Fatal(op.err)
	}
	if op.heard.Outcome != outcome || len(codes) > 0 && code(op.heard) != codes[0] {
		s.t.Fatalf("%s: %s, want %s %v", cmd.Verb, shown(op.heard), outcome, codes)
	}
	return op
}

// on does f at the first piece with that text, before it is passed on.
func (s *site) on(l *link, text string, up bool, f func() bool) *watch {
	s.counts.Faults++
	w := &watch{text: []byte(text), up: up, seen: f}
	l.watch.Store(w)
	return w
}

func cutAfterSend(s *site, u *user, c *control.Client) {
	s.want(c, u, stop, control.Succeeded)
	s.on(s.clients, `"start_testbed"`, true, func() bool { go s.clients.cut(); return true })
	s.want(c, u, start(""), control.Succeeded)
	s.on(u.link, "MESSAGE", false, func() bool { u.link.cut(); return false })
	s.want(c, u, stop, control.Succeeded)
}

func replyLost(s *site, u *user, c *control.Client) {
	lost := make(chan struct{})
	s.on(u.link, told, true, func() bool { close(lost); return false })
	s.ask(c, u, start(""), 3*time.Second) // pending, unless a link broke beside it and it was asked again
	select {
	case <-lost:
	case <-time.After(patience):
		s.t.Fatal("no outcome was told that could be lost")
	}
	// The one who asked is gone; another asks for the outcome in resolve.
	s.on(u.link, told, true, func() bool { return false })
	s.want(c, u, stop, control.Succeeded) // who waits on asks again
	for _, l := range []*link{s.clients, u.link} {
		s.on(l, told, l == u.link, func() bool { l.cut(); return false })
		s.want(c, u, start(""), control.Succeeded)
		s.on(l, told, l == u.link, func() bool { l.cut(); return false })
		s.want(c, u, stop, control.Succeeded)
	}
}

func sameID(s *site, u *user, c *control.Client) {
	cmd := start("")
	cmd.ID = control.NewID()
	cmd.IssuedAt = time.Now()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { s.ask(c, u, cmd, patience) })
	}
	wg.Wait()
	s.want(c, u, stop, control.Succeeded)
	s.want(c, u, cmd, control.Succeeded) // it answers, and acts no more
	cmd.ConfigName = "slow"
	s.want(c, u, cmd, control.Refused, swf.CodeConflict)
}

func tooOld(s *site, u *user, c *control.Client) {
	s.want(c, u, stop, control.Succeeded)
	s.counts.Faults++
	u.manager.kill()
	cmd := start("")
	cmd.IssuedAt = time.Now()
	cmd.ExpiresAt = cmd.IssuedAt.Add(time.Second)
	op := s.ask(c, u, cmd, slack+2*time.Second)
	if op.heard.Outcome != control.Pending {
		s.t.Errorf("nobody was there, yet it is %s", shown(op.heard))
	}
	u.start() // it finds the command in its queue
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); pause(20 * time.Millisecond) {
		if of := s.lookup(c, op); of != nil && of.Outcome == control.Expired {
			return
		}
	}
	s.t.Error("it is not expired")
}

// killPoints kills the manager at each point: what is passed on was done
// before, what is withheld was not yet known outside.
func killPoints(s *site, u *user, c *control.Client) {
	for _, point := range []struct {
		text string
		up   bool
	}{
		{`_testbed"`, false}, // before the journal
		{"ACK\n", true},      // after the journal, before the broker knows
		{`"kind":"accepted"`, true},
		{`"kind":"progress"`, true}, // supervisord was spawned
		{told, true},                // written
	} {
		for _, cmd := range []control.Command{start("slow"), stop} {
			for _, pass := range []bool{true, false} {
				killAt(s, u, c, cmd, point.text, point.up, pass)
			}
		}
	}
}

func killAt(s *site, u *user, c *control.Client, cmd control.Command, text string, up, pass bool) {
	if cmd.Verb == control.StopTestbed {
		s.ask(c, u, start(""), patience)
	} else {
		s.want(c, u, stop, control.Succeeded)
	}
	dead, asked := make(chan struct{}), make(chan struct{})
	w := s.on(u.link, text, up, func() bool {
		if pass {
			time.AfterFunc(2*time.Millisecond, func() { u.manager.signal(syscall.SIGKILL); close(dead) })
		} else {
			u.manager.signal(syscall.SIGKILL)
			close(dead)
		}
		return pass
	})
	go func() {
		defer close(asked)
		s.ask(c, u, cmd, 10*time.Second) // where the outcome is lost, resolve asks for it
	}()
	select {
	case <-dead:
	case <-asked: // a stop of what does not run has no such point
		missed := false
		if w.once.Do(func() { missed = true }); missed {
			return
		}
		<-dead
	}
	u.manager.kill()
	u.start()
	<-asked
}

func brokerKilled(s *site, u *user, c *control.Client) {
	enough := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 3 {
		w := newWorker(s, c, i, 20*time.Millisecond)
		wg.Go(func() { w.run(20, enough) })
	}
	for range 5 {
		pause(s.between(50*time.Millisecond, time.Second))
		s.killBroker()
		s.counts.Faults++
		s.startBroker()
		s.want(c, u, stop, control.Succeeded)
	}
	close(enough)
	wg.Wait()
}

// cutAnywhere cuts one of the links while a start is under way, of which
// nobody but its client then hears late.
func cutAnywhere(s *site, u *user, c *control.Client) {
	links := []*link{s.clients, u.link}
	for i := range 20 {
		s.counts.Faults++
		var wg sync.WaitGroup
		wg.Go(func() {
			pause(s.between(0, 600*time.Millisecond))
			links[i%len(links)].cut()
		})
		s.want(c, u, start(""), control.Succeeded)
		wg.Wait()
		u.awaitStarts(i + 1)
		s.want(c, u, stop, control.Succeeded)
	}
}

func blackHole(s *site, u *user, c *control.Client) {
	for _, l := range []*link{s.clients, u.link} {
		s.counts.Faults++
		l.blackhole(true)
		var wg sync.WaitGroup
		wg.Go(func() { s.ask(c, u, start(""), patience) })
		pause(6 * time.Second) // several heart-beats: both ends have given up by then
		l.blackhole(false)
		wg.Wait()
		s.want(c, u, stop, control.Succeeded)
	}
}

func stopDuringStart(s *site, u *user, c *control.Client) {
	for i := range 20 {
		s.counts.Faults++
		var wg sync.WaitGroup
		wg.Go(func() { s.ask(c, u, start("slow"), patience) })
		pause(time.Duration(i)*60*time.Millisecond + s.between(0, 60*time.Millisecond))
		s.want(c, u, stop, control.Succeeded)
		wg.Wait()
		s.want(c, u, stop, control.Succeeded)
	}
}

func supervisordKilled(s *site, u *user, c *control.Client) {
	for _, cmd := range []control.Command{start(""), stop} {
		s.want(c, u, start(""), control.Succeeded)
		s.counts.Faults++
		if !u.signalSupervisord(syscall.SIGKILL) {
			s.t.Fatal("no supervisord")
		}
		s.want(c, u, cmd, control.Succeeded)
		s.want(c, u, stop, control.Succeeded)
	}
}

func supervisordHung(s *site, u *user, c *control.Client) {
	s.want(c, u, start(""), control.Succeeded)
	s.counts.Faults++
	u.signalSupervisord(syscall.SIGSTOP)
	s.want(c, u, start(""), control.Refused, swf.CodeSupervisorFailed)
	s.want(c, u, stop, control.Succeeded)
	s.want(c, u, start(""), control.Succeeded)
	s.want(c, u, stop, control.Succeeded)
}

func staleFiles(s *site, u *user, c *control.Client) {
	s.want(c, u, start(""), control.Succeeded)
	s.counts.Faults += 2
	u.signalSupervisord(syscall.SIGKILL) // it leaves both behind
	u.write("sup.pid", fmt.Sprint(os.Getpid()))
	s.want(c, u, start(""), control.Succeeded)
	s.want(c, u, stop, control.Succeeded)
}

func badAgents(s *site, u *user, c *control.Client) {
	s.counts.Faults += 3
	op := s.want(c, u, start("dies"), control.Failed, swf.CodeStartFailed)
	tail := false
	for _, p := range op.heard.Programs {
		tail = tail || contains([]byte(p.LogTail), "last words")
	}
	if !tail {
		s.t.Errorf("the end of its log is not told: %+v", op.heard.Programs)
	}
	for _, config := range []string{"deaf", "loud"} {
		s.want(c, u, start(config), control.Succeeded)
		s.want(c, u, stop, control.Succeeded)
	}
}

func twoManagers(s *site, u *user, c *control.Client) {
	s.want(c, u, start(""), control.Succeeded)
	first := u.manager
	s.counts.Faults++
	u.spawn() // on this host: the lock
	if u.manager.await() {
		s.t.Error("a second one takes commands")
	}
	u.manager = first
	s.want(c, u, stop, control.Succeeded)
}

func journalTruncated(s *site, u *user, c *control.Client) {
	s.want(c, u, start(""), control.Succeeded)
	s.want(c, u, stop, control.Succeeded)
	u.manager.kill()
	s.counts.Faults++
	whole, err := os.ReadFile(u.paths.Journal())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.Truncate(u.paths.Journal(), 5000); err != nil {
		s.t.Fatal(err)
	}
	u.start()
	s.want(c, u, start(""), control.Refused, swf.CodeJournalSealed)
	u.manager.kill()
	if err := os.WriteFile(u.paths.Journal(), whole, 0o600); err != nil {
		s.t.Fatal(err)
	}
	u.start()
}
