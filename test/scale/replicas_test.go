package scale

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

const (
	few       = 50
	fewCalls  = 6
	fastBeats = 2 * time.Second
)

// TestReplicas shows that an MCP server holds no state that another needs: two
// of them serve the assistants of fifty users, whatever connection comes to
// whatever server.
func TestReplicas(t *testing.T) {
	s := newSite(t, backing{})
	s.join(0, few, fastBeats)
	var all []*assistant
	for n := range 8 {
		all = append(all, s.assistant(n*few/8, false))
	}
	t.Run("spread", func(t *testing.T) { s.spread(t, all) })
	t.Run("session", func(t *testing.T) { s.anySession(t, all[0]) })
	t.Run("pending", func(t *testing.T) { s.pendingElsewhere(t, all[1]) })
	t.Run("killed", func(t *testing.T) { s.killed(t, all[2]) })
	beats, failed := s.beats() // each may take 5 s, which a machine may stand still
	t.Logf("%d heartbeats arrived, %d did not", len(beats), failed)
}

// spread has everybody call at once, each request over a connection of its own.
func (s *site) spread(t *testing.T, all []*assistant) {
	errs := make(chan error, len(all))
	for _, a := range all {
		go func() { errs <- s.looks(t.Context(), a, fewCalls) }()
	}
	for range all {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	shares := s.balancer.shares()
	if slices.Min(shares) < len(all)*fewCalls/2 {
		t.Errorf("the servers had %v connections", shares)
	}
}

// looks looks at one's own manager and testbed, n times each.
func (s *site) looks(ctx context.Context, a *assistant, n int) error {
	for range n {
		if err := s.check(ctx, a); err != nil {
			return err
		}
		if err := s.status(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// check asks a user's own manager.
func (s *site) check(ctx context.Context, a *assistant) error {
	out, err := a.call(ctx, s.balancer.addr(), "check_agent_manager", map[string]any{})
	if err == nil && (out.Alive == nil || !*out.Alive || out.Username != a.user || !out.Monitor.Available) {
		err = fmt.Errorf("%s: %.1000s", a.user, out.text)
	}
	return err
}

// status looks at the user's own testbed, of which the monitor must have heard.
func (s *site) status(ctx context.Context, a *assistant) error {
	out, err := a.call(ctx, s.balancer.addr(), "get_testbed_status", map[string]any{})
	if err == nil && (out.State != "stopped" || out.AgentManager.LastHeartbeat == nil || !out.Monitor.Available) {
		err = fmt.Errorf("%s: %.1000s", a.user, out.text)
	}
	return err
}

// anySession begins a session at one server and goes on at the other.
func (s *site) anySession(t *testing.T, a *assistant) {
	begun := newAssistant(t, s.at[0], a.number, a.token, true)
	for _, at := range []string{s.at[1], s.at[0], s.at[1]} {
		if out, err := begun.call(t.Context(), at, "check_agent_manager", map[string]any{}); err != nil || out.Alive == nil || !*out.Alive {
			t.Errorf("at %s: %v %s", at, err, out.text)
		}
	}
	stranger := &assistant{user: "stranger", token: s.assistant(few-1, true).token, session: begun.session, http: begun.http}
	if _, err := stranger.call(t.Context(), s.at[1], "check_agent_manager", map[string]any{}); err == nil {
		t.Error("another user's session was taken")
	}
}

// stopping gives a stop under that key to a server and returns when the manager
// has begun it and waits.
func (s *site) stopping(t *testing.T, a *assistant, at, key string) (ended chan error) {
	t.Helper()
	m := s.crowds[0]
	m.tell(order{Do: "hold", Users: []int{a.number}})
	m.hears("held")
	ended = make(chan error, 1)
	go func() {
		_, err := a.call(t.Context(), at, "stop_user_testbed", map[string]any{"command_id": key})
		ended <- err
	}()
	select {
	case w := <-m.words:
		if w.Say != "holding" {
			t.Fatalf("the crowd said %q", w.Say)
		}
	case err := <-ended:
		t.Fatalf("it was not held: %v", err)
	}
	return ended
}

// outcome asks a server for it until it is none of those.
func (s *site) outcome(t *testing.T, a *assistant, at, key string, but ...string) string {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		out, err := a.call(t.Context(), at, "get_testbed_status", map[string]any{"command_id": key})
		if err != nil || out.Command == nil {
			t.Fatalf("%v %s", err, out.text)
		}
		if !slices.Contains(but, out.Command.Outcome) || time.Now().After(end) {
			return out.Command.Outcome
		}
	}
}

// pendingElsewhere asks one server for what was commanded through the other.
func (s *site) pendingElsewhere(t *testing.T, a *assistant) {
	const key = "stop-for-good"
	ended := s.stopping(t, a, s.at[0], key)
	if got := s.outcome(t, a, s.at[1], key); got != "pending" {
		t.Errorf("the other server says %q of a command under way", got)
	}
	s.crowds[0].tell(order{Do: "release"})
	if got := s.outcome(t, a, s.at[1], key, "pending"); got != "succeeded" {
		t.Errorf("the other server says %q of a command that is done", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// The same again by the other server is the same command: it acts no more,
	// or it would be held.
	s.crowds[0].tell(order{Do: "hold", Users: []int{a.number}})
	s.crowds[0].hears("held")
	if out, err := a.call(t.Context(), s.at[1], "stop_user_testbed", map[string]any{"command_id": key}); err != nil || out.Outcome != "succeeded" {
		t.Errorf("%v %s", err, out.text)
	}
	s.crowds[0].tell(order{Do: "release"})
}

// killed ends a server in the middle of a call. Everybody goes on with the
// other, in the same session, and the command has its one outcome.
func (s *site) killed(t *testing.T, a *assistant) {
	const key = "stop-whatever-happens"
	ended := s.stopping(t, a, s.at[0], key)
	s.replicas[0].kill()
	if err := <-ended; err == nil {
		t.Error("a server that was killed has answered")
	}
	if got := s.outcome(t, a, s.balancer.addr(), key); got != "pending" {
		t.Errorf("%q of a command under way", got)
	}
	s.crowds[0].tell(order{Do: "release"})
	if got := s.outcome(t, a, s.balancer.addr(), key, "pending"); got != "succeeded" {
		t.Errorf("%q of a command that is done", got)
	}
	if err := s.looks(t.Context(), a, fewCalls); err != nil {
		t.Error(err)
	}
}
