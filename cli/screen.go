package cli

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// screen is the terminal of a person who waits: below what has been written
// stands one line that says what is being waited for and for how long. It comes
// after a second and goes without a trace. Safe for concurrent use.
type screen struct {
	to io.Writer

	mu      sync.Mutex
	waiting string // what for; "": for nothing
	since   time.Time
	drawn   bool
	turn    int
}

// The line comes after a second, and turns this often.
const (
	patience = time.Second
	turning  = 120 * time.Millisecond
)

var wheel = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// Write writes above the line.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	return s.to.Write(b)
}

func (s *screen) erase() {
	if s.drawn {
		fmt.Fprint(s.to, "\r\x1b[K")
		s.drawn = false
	}
}

// draw shows the line as it is now.
func (s *screen) draw(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	took := now.Sub(s.since)
	if s.waiting == "" || took < patience {
		return
	}
	s.erase()
	s.turn++
	fmt.Fprintf(s.to, "%c %s (%d s)", wheel[s.turn%len(wheel)], clip(s.waiting, 60), int(took.Seconds()))
	s.drawn = true
}

// tell changes what the line says; false when nothing is being waited for.
func (s *screen) tell(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == "" {
		return false
	}
	s.waiting = text
	return true
}

// begin says what is being waited for, until end is called.
func (s *screen) begin(what string) (end func()) {
	s.mu.Lock()
	s.waiting, s.since = what, time.Now()
	s.mu.Unlock()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(turning)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				s.draw(now)
			case <-quit:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(quit)
		<-done
		s.mu.Lock()
		defer s.mu.Unlock()
		s.erase()
		s.waiting = ""
	})
}

// waiting shows a person at a terminal that something is under way; elsewhere
// it does nothing. The caller ends it before the answer is printed.
func (a *app) waiting(what string) (end func()) {
	if s, ok := a.err.(*screen); ok {
		return s.begin(what)
	}
	return func() {}
}

// tell says how far something is: on the line of a person who waits, else as a
// line of its own.
func (a *app) tell(text string) {
	if s, ok := a.err.(*screen); ok && s.tell(text) {
		return
	}
	fmt.Fprintln(a.err, text)
}

// clip shortens a text to n characters: a line that wraps cannot be erased.
func clip(s string, n int) string {
	r := []rune(plain(s))
	if len(r) <= n {
		return string(r)
	}
	return string(r[:n-1]) + "…"
}
