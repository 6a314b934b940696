package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// stream is commands of several clients under random faults. It goes on until
// each client has sent so many commands with an effect and there have been so
// many faults of every kind.
type stream struct {
	users, clients, each, times int
	think                       time.Duration // between two commands of a client, at most
	calm                        int           // milliseconds between two faults in one place, at most
}

// fixed is the seed of what must come out the same on every machine.
const fixed = 20260801

// seeds are those that a row is run with.
func seeds() []uint64 {
	first := *seed
	if first == 0 {
		first = fixed
	}
	if !*whole && !*long {
		return []uint64{first}
	}
	three := []uint64{first, first + 1, first + 2}
	if *long {
		return append(three, first+3)
	}
	return three
}

func TestStreamUnderRandomFaults(t *testing.T) {
	s := stream{users: 2, clients: 3, each: 25, times: 1, think: 50 * time.Millisecond, calm: 3000}
	switch {
	case *long:
		// Four sites at once: 10,000 commands, and 200 faults of every kind.
		s = stream{users: 5, clients: 5, each: 500, times: 50, think: 300 * time.Millisecond, calm: 2000}
	case *whole:
		s = stream{users: 3, clients: 5, each: 120, times: 5, think: 50 * time.Millisecond, calm: 2000}
	}
	t.Parallel()
	forEachBroker(t, func(t *testing.T, k kind) {
		for _, seed := range seeds() {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel()
				s.run(t, k, seed)
			})
		}
	})
}

func (r stream) run(t *testing.T, k kind, seed uint64) {
	t.Logf("repeat with: go test ./test/faults -run Stream -over %s -seed %d", k.name, seed)
	s := newSite(t, setting{kind: k, harmed: true, users: r.users, seed: seed})
	for _, u := range s.users {
		u.start()
	}
	n := newNemesis(s, r.times, r.calm)
	ctx, stop := context.WithCancel(context.Background())
	var harm, work sync.WaitGroup
	harm.Go(func() { n.Run(ctx) })
	for i := range r.clients {
		w := newWorker(s, s.client(nil), i, r.think)
		work.Go(func() { w.run(r.each, n.enough) })
	}
	work.Wait()
	stop()
	harm.Wait()
	for _, u := range s.users {
		select { // the last fault may have been its end
		case <-u.manager.ended:
			u.spawn()
		default:
		}
		if !u.manager.await() {
			t.Fatal("the manager does not come back: ", u.name)
		}
	}
	s.resolve(s.client(nil))
	s.clean(fmt.Sprintf("%d clients × %d commands, random faults", r.clients, r.each))
	for what := range s.counts.Outcomes {
		if what.code != "" && reasons[what.code] == "" {
			t.Errorf("%s: nobody has said why under these faults", what)
		}
	}
}

// worker is one client. It goes by what it last heard: who has seen a testbed
// run will rather stop it.
type worker struct {
	s      *site
	c      *control.Client
	client int
	think  time.Duration
	rand   *rand.Rand
	seen   map[*user]swf.TestbedState
}

func newWorker(s *site, c *control.Client, client int, think time.Duration) *worker {
	return &worker{s: s, c: c, client: client, think: think, rand: rand.New(rand.NewPCG(s.seed, uint64(2+client))), seen: make(map[*user]swf.TestbedState)}
}

// hundreds are what a long run tells of.
const hundreds = 100

// run sends commands until there were so many with an effect and enough is
// closed: some twice under one id, some that are soon too old.
func (w *worker) run(each int, enough <-chan struct{}) {
	for sent := 0; ; {
		select {
		case <-enough:
			if sent >= each {
				return
			}
		default:
		}
		u := w.s.users[w.rand.IntN(len(w.s.users))]
		cmd, wait := w.next(u), 25*time.Second
		if cmd.Verb.Effect() {
			sent++
			if sent%hundreds == 0 {
				w.s.t.Logf("client %d has sent %d commands", w.client, sent)
			}
			cmd.IssuedAt = time.Now()
			cmd.ExpiresAt = cmd.IssuedAt.Add(time.Duration(1+w.rand.IntN(15)) * time.Second)
			cmd.ID = control.NewID()
			if w.rand.IntN(8) == 0 {
				wait = 300 * time.Millisecond // one who gives up early, and asks later
			}
		} else {
			wait = 5 * time.Second
		}
		w.hear(u, w.s.askAs(w.client, w.c, u, cmd, wait))
		if cmd.Verb.Effect() && w.rand.IntN(5) == 0 {
			w.s.askAs(w.client, w.c, u, cmd, 5*time.Second) // an honest retry
		}
		pause(time.Duration(w.rand.Int64N(int64(w.think))))
	}
}

func (w *worker) next(u *user) control.Command {
	likely, other := control.StartTestbed, control.StopTestbed
	switch w.seen[u] {
	case swf.TestbedRunning:
		likely, other = other, likely
	case swf.TestbedUnknown:
		return control.Command{Verb: control.Status}
	}
	switch p := w.rand.IntN(10); {
	case p < 6:
		return control.Command{Verb: likely}
	case p < 7:
		return control.Command{Verb: other}
	}
	return control.Command{Verb: control.Status}
}

func (w *worker) hear(u *user, op *operation) {
	r := op.heard
	switch {
	case op.err != nil || r.Outcome == control.Pending || code(r) == swf.CodeBusy:
		w.seen[u] = swf.TestbedUnknown
	case op.cmd.Verb == control.Status && r.Pong != nil:
		w.seen[u] = r.Pong.State
		if r.Pong.State == swf.TestbedUnknown {
			w.seen[u] = swf.TestbedStopped // whoever does not know tries
		}
	case op.cmd.Verb == control.StartTestbed && r.Outcome == control.Succeeded || code(r) == swf.CodeAgentsRunning:
		w.seen[u] = swf.TestbedRunning
	default:
		w.seen[u] = swf.TestbedStopped
	}
}
