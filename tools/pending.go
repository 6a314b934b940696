package tools

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// maxPending bounds the memory of pending commands; beyond it the oldest is
// forgotten.
const maxPending = 1024

// pending remembers the commands that have no outcome yet, oldest first: so
// that an impatient second start waits for the first instead of being refused,
// and to tell until when a command may begin. The zero value is ready.
type pending struct {
	mu   sync.Mutex
	list []control.Command

	guesses []*guess // of Python managers, oldest first
}

// enter returns the guess of a command: with mine a new one, which the caller
// must publish. A start that repeats an outstanding one joins it.
func (s *pending) enter(cmd control.Command, join bool, now time.Time) (g *guess, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.guesses {
		if g.cmd.ID == cmd.ID || (join && cmd.Verb == control.StartTestbed && g.settled == nil && now.Before(g.cmd.ExpiresAt) && g.intent == cmd.Intent()) {
			return g, false
		}
	}
	if len(s.guesses) >= maxPending {
		s.guesses = slices.Delete(s.guesses, 0, 1)
	}
	g = &guess{cmd: cmd, intent: cmd.Intent(), sent: make(chan struct{})}
	s.guesses = append(s.guesses, g)
	return g, true
}

// withdraw forgets a guess that was not published.
func (s *pending) withdraw(g *guess) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guesses = slices.DeleteFunc(s.guesses, func(other *guess) bool { return other == g })
}

// guess returns that of an id, once published; else nil.
func (s *pending) guess(id string) *guess {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.guesses {
		if g.cmd.ID == id {
			select {
			case <-g.sent:
				return g
			default:
				return nil
			}
		}
	}
	return nil
}

// settle makes v the outcome, unless there is one.
func (s *pending) settle(g *guess, v *CommandView) *CommandView {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.settled == nil {
		g.settled = v
	}
	own := *g.settled
	return &own
}

// outcome returns the outcome, or nil.
func (s *pending) outcome(g *guess) *CommandView {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.settled == nil {
		return nil
	}
	own := *g.settled
	return &own
}

func (s *pending) remember(cmd control.Command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.list, func(c control.Command) bool { return c.ID == cmd.ID }) {
		return
	}
	if len(s.list) >= maxPending {
		s.list = slices.Delete(s.list, 0, 1)
	}
	s.list = append(s.list, cmd)
}

func (s *pending) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(c control.Command) bool { return c.ID == id })
}

// expiry returns until when the command may begin: our own ids tell it, for
// others it is remembered.
func (s *pending) expiry(id string) time.Time {
	if issued, ok := issuedAt(id); ok {
		return issued.Add(control.TTL)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.list {
		if c.ID == id {
			return c.ExpiresAt
		}
	}
	return time.Time{}
}

// outstanding returns a start that cmd repeats and that may still begin.
func (s *pending) outstanding(cmd control.Command, now time.Time) (control.Command, bool) {
	return s.find(cmd, func(c control.Command) bool { return now.Before(c.ExpiresAt) })
}

// holder returns the start because of which cmd was refused as busy, if cmd
// means the same.
func (s *pending) holder(cmd control.Command, r control.Reply) (control.Command, bool) {
	if r.Error == nil || r.Error.Code != swf.CodeBusy {
		return control.Command{}, false
	}
	said := r.Error.Message + " " + r.Error.Hint
	return s.find(cmd, func(c control.Command) bool { return strings.Contains(said, c.ID) })
}

func (s *pending) find(cmd control.Command, ok func(control.Command) bool) (control.Command, bool) {
	if cmd.Verb != control.StartTestbed {
		return control.Command{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.list {
		if c.ID != cmd.ID && c.Intent() == cmd.Intent() && ok(c) {
			return c, true
		}
	}
	return control.Command{}, false
}
