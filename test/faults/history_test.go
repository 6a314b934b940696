package faults

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// operation is one command and what its client heard of it.
type operation struct {
	user     *user
	cmd      control.Command
	client   int
	called   time.Time
	accepted bool          // it was told so
	heard    control.Reply // its outcome, or pending
	returned time.Time
	err      error // it was not sent, says the client
	late     bool  // the outcome came by asking later
	final    control.Reply
}

// history is what all clients did and heard.
type history struct {
	mu  sync.Mutex
	ops []*operation
}

// ask sends a command and waits for the outcome at most as long as wait.
func (s *site) ask(c *control.Client, u *user, cmd control.Command, wait time.Duration) *operation {
	return s.askAs(0, c, u, cmd, wait)
}

func (s *site) askAs(client int, c *control.Client, u *user, cmd control.Command, wait time.Duration) *operation {
	cmd.Username, cmd.IssuedBy = u.name, u.name
	op := &operation{user: u, client: client, called: time.Now()}
	cmd.Complete(op.called)
	op.cmd = cmd
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	r, err := c.Ask(ctx, cmd, func(r control.Reply) { op.accepted = true })
	op.heard, op.err, op.returned = r, err, time.Now()
	s.history.add(op)
	return op
}

func (h *history) add(op *operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// effects are those that change something.
func (h *history) effects() []*operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []*operation
	for _, op := range h.ops {
		if op.cmd.Verb.Effect() {
			out = append(out, op)
		}
	}
	return out
}

// resolve asks for the outcome of each command until the manager has one: what
// was pending must be known in the end, and what was told must stand.
func (s *site) resolve(c *control.Client) {
	s.t.Helper()
	for _, op := range s.history.effects() {
		if unwritten(op.heard) {
			op.final = op.heard
			continue
		}
		for deadline := time.Now().Add(patience + control.TTL); ; {
			of := s.lookup(c, op)
			if of != nil && of.Outcome != control.Pending {
				op.final = *of
				break
			}
			// One that never arrived has its outcome once nobody may send it
			// any more, which the short run does not wait for.
			if of != nil && of.Message == "" && !op.accepted && !*whole && !*long && time.Now().After(op.cmd.ExpiresAt.Add(time.Second)) {
				op.final = control.Reply{Outcome: control.Pending}
				break
			}
			if time.Now().After(deadline) {
				op.final = control.Reply{Outcome: control.Pending}
				break
			}
			pause(50 * time.Millisecond)
		}
		op.late = op.err == nil && op.heard.Outcome == control.Pending && op.final.Outcome != control.Pending
	}
}

// lookup asks for the outcome of a command; nil is that nobody answered.
func (s *site) lookup(c *control.Client, op *operation) *control.Reply {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := c.Ask(ctx, control.Command{Verb: control.Status, Username: op.user.name, IssuedBy: op.user.name, Of: &control.Of{CommandID: op.cmd.ID}}, nil)
	if err != nil {
		return nil
	}
	return r.Of
}

// ending is what commands came to.
type ending struct {
	verb    control.Verb
	outcome control.Outcome // "" was not sent
	code    swf.Code
}

func (e ending) String() string { return fmt.Sprint(e.verb, " ", e.outcome, " ", e.code) }

// tally counts how the commands ended.
func (h *history) tally() map[ending]int {
	n := make(map[ending]int)
	for _, op := range h.effects() {
		e := ending{op.cmd.Verb, op.final.Outcome, code(op.final)}
		if op.err != nil {
			e.outcome = ""
		}
		n[e]++
	}
	return n
}
