package faults

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"
)

// nemesis does harm, one fault after another, as its seed says.
type nemesis struct {
	s    *site
	rand *rand.Rand
	kind map[string]int
}

func newNemesis(s *site) *nemesis {
	return &nemesis{s: s, rand: rand.New(rand.NewPCG(s.seed, 1)), kind: make(map[string]int)}
}

// Run makes faults until ctx ends, and heals each before the next.
func (n *nemesis) Run(ctx context.Context) {
	faults := []struct {
		name string
		do   func(context.Context, *user)
	}{
		{"cut", n.cut},
		{"delay", n.delay},
		{"black hole", n.hole},
		{"kill manager", n.killManager},
		{"pause manager", n.pauseManager},
		{"kill broker", n.killBroker},
		{"kill supervisord", n.killSupervisord},
	}
	for n.sleep(ctx, 200, 900) {
		f := faults[n.rand.IntN(len(faults))]
		f.do(ctx, n.s.users[n.rand.IntN(len(n.s.users))])
		n.kind[f.name]++
		n.s.counts.Faults++
	}
}

// sleep is a random time in milliseconds; it reports whether to go on.
func (n *nemesis) sleep(ctx context.Context, least, most int) bool {
	t := time.NewTimer(time.Duration(least+n.rand.IntN(most-least)) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (n *nemesis) link(u *user) *link {
	if n.rand.IntN(2) == 0 {
		return n.s.clients
	}
	return u.link
}

func (n *nemesis) cut(_ context.Context, u *user) { n.link(u).cut() }

func (n *nemesis) delay(ctx context.Context, u *user) {
	l := n.link(u)
	l.delay.Store(int64(20+n.rand.IntN(200)) * int64(time.Millisecond))
	n.sleep(ctx, 300, 1500)
	l.delay.Store(0)
}

func (n *nemesis) hole(ctx context.Context, u *user) {
	l := n.link(u)
	l.blackhole(true)
	n.sleep(ctx, 300, 3500) // some are noticed by the heart-beats, some are not
	l.blackhole(false)
}

func (n *nemesis) killManager(ctx context.Context, u *user) {
	u.manager.kill()
	n.sleep(ctx, 1, 300)
	u.spawn()
	if n.rand.IntN(4) > 0 { // else the next fault meets it in its recovery
		u.manager.await()
	}
}

func (n *nemesis) pauseManager(ctx context.Context, u *user) {
	u.manager.signal(syscall.SIGSTOP)
	n.sleep(ctx, 100, 2000)
	u.manager.signal(syscall.SIGCONT)
}

func (n *nemesis) killBroker(ctx context.Context, _ *user) {
	n.s.killBroker()
	n.sleep(ctx, 1, 300)
	n.s.startBroker()
}

func (n *nemesis) killSupervisord(_ context.Context, u *user) { u.signalSupervisord(syscall.SIGKILL) }
