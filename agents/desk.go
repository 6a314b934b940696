package agents

import (
	"context"
	"slices"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/swf"
)

// Limits of a desk.
const (
	workSize  = 10_000                 // messages taken off the bus and not yet worked on
	ahead     = 50                     // calls to the monitor that may wait when more work is begun: what is told is never old
	drainTime = 300 * time.Millisecond // at the end: for messages already taken
)

// desk is where an agent works: one goroutine handles the messages in the
// order in which they came.
type desk struct {
	base   *Base
	work   chan swf.Message
	kinds  []string // message types that are for this agent; the rest is for others
	handle func(context.Context, swf.Message)
	alarm  <-chan time.Time          // may be nil
	rung   func(ctx context.Context) // called when alarm fires
}

func newDesk(b *Base, handle func(context.Context, swf.Message), kinds ...string) *desk {
	return &desk{base: b, work: make(chan swf.Message, workSize), kinds: kinds, handle: handle}
}

// put is called by the bus, which holds some thousand messages more for a
// handler that waits for room on the desk.
func (d *desk) put(ctx context.Context, m swf.Message) {
	if !slices.Contains(d.kinds, m.Type()) {
		return
	}
	select {
	case d.work <- m:
	case <-ctx.Done():
	}
}

// offer is put for the outbox, which the desk may wait for and which therefore
// must not wait for the desk.
func (d *desk) offer(m swf.Message) {
	select {
	case d.work <- m:
	default:
		d.base.Log().Error("dropped a message: too many wait", "msg_type", m.Type(), "run_id", runID(m))
	}
}

// serve waits for the subscriptions, becomes READY and works until ctx ends.
// Then it closes the subscriptions and handles what is on the desk already.
func (d *desk) serve(ctx context.Context, ready func(), subs ...*amq.Subscription) error {
	for _, s := range subs {
		defer s.Close()
		select {
		case <-s.Ready():
		case <-ctx.Done():
			return nil
		}
	}
	d.base.SetState(swf.OpReady)
	if ready != nil {
		ready()
	}
	for {
		select {
		case m := <-d.work:
			d.handle(ctx, m)
		case <-d.alarm:
			d.rung(ctx)
		case <-ctx.Done():
			for _, s := range subs {
				s.Close()
			}
			d.drain(ctx)
			return nil
		}
	}
}

func (d *desk) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case m := <-d.work:
			d.handle(ctx, m)
		default:
			return
		}
	}
}
