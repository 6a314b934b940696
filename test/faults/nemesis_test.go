package faults

import (
	"context"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"
)

// nemesis does harm as its seed says: to each user's part of a site, and to
// what all share, one fault after another, every kind once in each round.
type nemesis struct {
	s      *site
	times  int           // that every kind must have happened
	calm   int           // milliseconds between two faults in one place, at most
	enough chan struct{} // closed once it has; the harm goes on

	mu   sync.Mutex
	kind map[string]int
}

// fault is one kind of harm. It heals what it does, and reports whether there
// was anything to harm.
type fault struct {
	name string
	do   func(ctx context.Context, r *rand.Rand) bool
}

func newNemesis(s *site, times, calm int) *nemesis {
	n := &nemesis{s: s, times: times, calm: calm, enough: make(chan struct{}), kind: make(map[string]int)}
	for _, f := range append(n.ofAll(), n.of(s.users[0])...) {
		n.kind[f.name] = 0
	}
	return n
}

// ofAll are the faults of what all share.
func (n *nemesis) ofAll() []fault {
	return append(links(n.s.clients), fault{"kill broker", func(ctx context.Context, r *rand.Rand) bool {
		n.s.killBroker()
		sleep(ctx, r, 1, 300)
		n.s.startBroker()
		return true
	}})
}

// of are the faults of one user's host.
func (n *nemesis) of(u *user) []fault {
	return append(links(u.link),
		fault{"kill manager", u.killManager},
		fault{"pause manager", u.pauseManager},
		fault{"kill supervisord", func(context.Context, *rand.Rand) bool { return u.signalSupervisord(syscall.SIGKILL) }},
		fault{"pause supervisord", u.pauseSupervisord},
		fault{"kill runner", func(context.Context, *rand.Rand) bool { return u.killRunner() }},
	)
}

// Run makes faults until ctx ends.
func (n *nemesis) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { n.harm(ctx, 0, n.ofAll()) })
	for i, u := range n.s.users {
		wg.Go(func() { n.harm(ctx, i+1, n.of(u)) })
	}
	wg.Wait()
	n.s.counts.Kinds = n.kind
	for _, times := range n.kind {
		n.s.counts.Faults += times
	}
}

func (n *nemesis) harm(ctx context.Context, stream int, faults []fault) {
	r := rand.New(rand.NewPCG(n.s.seed, uint64(1000+stream)))
	for {
		for _, i := range r.Perm(len(faults)) {
			for done := false; !done; { // there may be nothing yet that could be killed
				if !sleep(ctx, r, 50, n.calm) {
					return
				}
				done = faults[i].do(ctx, r)
			}
			n.count(faults[i].name)
		}
	}
}

func (n *nemesis) count(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kind[name]++
	least := n.kind[name]
	for _, times := range n.kind {
		least = min(least, times)
	}
	if least == n.times && n.kind[name] == least {
		select {
		case <-n.enough:
		default:
			close(n.enough)
		}
	}
}

// sleep is a random time in milliseconds; it reports whether to go on.
func sleep(ctx context.Context, r *rand.Rand, least, most int) bool {
	t := time.NewTimer(time.Duration(least+r.IntN(most-least)) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func links(l *link) []fault {
	return []fault{
		{"cut", func(context.Context, *rand.Rand) bool {
			l.cut()
			return true
		}},
		{"delay", func(ctx context.Context, r *rand.Rand) bool {
			l.delay.Store(int64(20+r.IntN(200)) * int64(time.Millisecond))
			sleep(ctx, r, 300, 1500)
			l.delay.Store(0)
			return true
		}},
		{"black hole", func(ctx context.Context, r *rand.Rand) bool {
			l.blackhole(true)
			sleep(ctx, r, 300, 3500) // some are noticed by the heart-beats, some are not
			l.blackhole(false)
			return true
		}},
	}
}

func (u *user) killManager(ctx context.Context, r *rand.Rand) bool {
	u.manager.kill()
	sleep(ctx, r, 1, 300)
	u.spawn()
	if r.IntN(4) > 0 { // else the next fault meets it in its recovery
		u.manager.await()
	}
	return true
}

func (u *user) pauseManager(ctx context.Context, r *rand.Rand) bool {
	u.manager.signal(syscall.SIGSTOP)
	sleep(ctx, r, 100, 2000)
	u.manager.signal(syscall.SIGCONT)
	return true
}

func (u *user) pauseSupervisord(ctx context.Context, r *rand.Rand) bool {
	pid := u.supervisord()
	if pid == 0 || syscall.Kill(pid, syscall.SIGSTOP) != nil {
		return false
	}
	sleep(ctx, r, 50, 1500)
	if u.supervisord() == pid { // else a stop has ended it
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	return true
}
