package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
)

// stream is commands of several clients under random faults.
type stream struct {
	users, clients, each int
}

// fixed is the seed of what must come out the same on every machine.
const fixed = 20260801

// seeds are those that a row is run with.
func seeds() []uint64 {
	first := *seed
	if first == 0 {
		first = fixed
	}
	if !*whole {
		return []uint64{first}
	}
	return []uint64{first, first + 1, first + 2}
}

func TestStreamUnderRandomFaults(t *testing.T) {
	s := stream{users: 2, clients: 3, each: 25}
	switch {
	case *long:
		s = stream{users: 3, clients: 5, each: 2000}
	case *whole:
		s = stream{users: 3, clients: 5, each: 120}
	}
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
	t.Logf("repeat with: go test ./test/faults -run Stream/%s -seed %d", k.name, seed)
	s := newSite(t, setting{kind: k, harmed: true, users: r.users, seed: seed})
	for _, u := range s.users {
		u.start()
	}
	n := newNemesis(s)
	ctx, stop := context.WithCancel(context.Background())
	var harm, work sync.WaitGroup
	harm.Go(func() { n.Run(ctx) })
	for i := range r.clients {
		c := s.client(nil)
		random := rand.New(rand.NewPCG(seed, uint64(i+2)))
		work.Go(func() { r.work(s, c, i, random) })
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
	t.Log("faults: ", n.kind)
	t.Log("outcomes: ", s.history.tally())
	s.clean(fmt.Sprintf("%d clients × %d operations, random faults", r.clients, r.each))
}

// work is what one client does: some commands twice under one id, some that
// are soon too old.
func (r stream) work(s *site, c *control.Client, client int, random *rand.Rand) {
	for range r.each {
		u := s.users[random.IntN(len(s.users))]
		cmd, wait := control.Command{Verb: control.StopTestbed}, 25*time.Second
		switch p := random.IntN(10); {
		case p < 4:
			cmd.Verb = control.StartTestbed
		case p < 7:
			cmd.Verb, wait = control.Status, 5*time.Second
		}
		if cmd.Verb.Effect() {
			cmd.IssuedAt = time.Now()
			cmd.ExpiresAt = cmd.IssuedAt.Add(time.Duration(1+random.IntN(15)) * time.Second)
			cmd.ID = control.NewID()
			if random.IntN(5) == 0 {
				wait = 300 * time.Millisecond // one who gives up early, and asks later
			}
		}
		s.askAs(client, c, u, cmd, wait)
		if cmd.Verb.Effect() && random.IntN(5) == 0 {
			s.askAs(client, c, u, cmd, 5*time.Second) // an honest retry
		}
	}
}
