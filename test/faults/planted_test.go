package faults

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/test/brokers"
)

// Each of these plants a bug around the manager and wants the checker to say
// so: a checker that cannot fail proves nothing.

// bus is a control.Bus whose Publish is somebody else's.
type bus struct {
	*amq.Conn
	publish func(context.Context, amq.Message) error
}

func (b bus) Publish(ctx context.Context, m amq.Message) error { return b.publish(ctx, m) }

// red wants a finding of the kind that n counts.
func red(t *testing.T, s *site, kind string, n func(*counts) int) {
	t.Helper()
	for _, op := range s.history.ops { // what a client heard is what it goes by
		op.final = op.heard
	}
	c := s.judge()
	t.Log("planted: ", c)
	for _, f := range c.findings {
		t.Log("found: ", f)
	}
	if n(c) == 0 {
		t.Errorf("the checker did not see that a command was %s", kind)
	}
}

// TestPlantedAutoAck: something takes the command from the queue and says
// accepted before anything is on disk, and dies.
func TestPlantedAutoAck(t *testing.T) {
	t.Parallel()
	s := newSite(t, setting{})
	u := s.users[0]
	u.start()
	c := s.client(func(conn *amq.Conn) control.Bus {
		return bus{conn, func(ctx context.Context, m amq.Message) error {
			cmd, err := control.DecodeCommand(m.Body)
			if err != nil || !cmd.Verb.Effect() {
				return conn.Publish(ctx, m)
			}
			body, err := control.Reply{CommandID: cmd.ID, Kind: control.Accepted, Intent: cmd.Intent()}.Encode()
			if err != nil {
				return err
			}
			return conn.Publish(ctx, amq.Message{Destination: cmd.ReplyTo, Body: body,
				Headers: map[string]string{control.SignatureHeader: u.key.Sign(control.DomainReply, body)}})
		}}
	})
	cmd := control.Command{Verb: control.StartTestbed, Username: u.name, IssuedBy: u.name}
	cmd.Complete(time.Now())
	op := &operation{user: u, cmd: cmd, called: cmd.IssuedAt, final: control.Reply{Outcome: control.Pending}}
	ctx, enough := context.WithTimeout(context.Background(), patience)
	defer enough()
	op.heard, op.err = c.Ask(ctx, cmd, func(control.Reply) { // nothing comes after that
		op.accepted = true
		enough()
	})
	op.returned = time.Now()
	s.history.add(op)
	found := s.judge()
	t.Log("planted: ", found, found.findings)
	if found.Lost == 0 {
		t.Error("the checker did not see that a command was lost")
	}
}

// TestPlantedNoJournal: what the manager knew is gone when it comes back, and
// an honest copy of a command comes then.
func TestPlantedNoJournal(t *testing.T) {
	t.Parallel()
	s := newSite(t, setting{})
	u, c := s.users[0], s.client(nil)
	u.start()
	u.manager.kill() // it has made an empty journal, old enough for every command
	empty, err := os.ReadFile(u.paths.Journal())
	if err != nil {
		t.Fatal(err)
	}
	u.start()
	first := s.ask(c, u, control.Command{Verb: control.StartTestbed}, patience)
	u.awaitStarts(1)
	s.ask(c, u, control.Command{Verb: control.StopTestbed}, patience)
	u.manager.kill()
	if err := os.WriteFile(u.paths.Journal(), empty, 0o600); err != nil {
		t.Fatal(err)
	}
	u.start()
	s.ask(c, u, first.cmd, patience)
	red(t, s, "doubled", func(c *counts) int { return c.Doubled })
}

// TestPlantedNoExpiryCheck: what comes to the manager always looks fresh.
func TestPlantedNoExpiryCheck(t *testing.T) {
	t.Parallel()
	s := newSite(t, setting{})
	u := s.users[0]
	u.start()
	c := s.client(func(conn *amq.Conn) control.Bus {
		return bus{conn, func(ctx context.Context, m amq.Message) error {
			cmd, err := control.DecodeCommand(m.Body)
			if err != nil || !cmd.Verb.Effect() {
				return conn.Publish(ctx, m)
			}
			pause(time.Until(cmd.ExpiresAt.Add(slack + time.Second)))
			cmd.IssuedAt = time.Now()
			cmd.ExpiresAt = cmd.IssuedAt.Add(control.TTL)
			if m.Body, err = cmd.Encode(); err != nil {
				return err
			}
			m.Headers[control.SignatureHeader] = u.key.Sign(control.DomainCommand, m.Body)
			return conn.Publish(context.WithoutCancel(ctx), m)
		}}
	})
	now := time.Now()
	s.ask(c, u, control.Command{Verb: control.StartTestbed, IssuedAt: now, ExpiresAt: now.Add(time.Second)}, patience)
	red(t, s, "late", func(c *counts) int { return c.Late })
}

// TestPlantedSuccessOnSend: the client says that it succeeded as soon as the
// bytes are in a socket.
func TestPlantedSuccessOnSend(t *testing.T) {
	t.Parallel()
	s := newSite(t, setting{})
	u, c := s.users[0], s.client(nil)
	u.start()
	op := s.ask(c, u, control.Command{Verb: control.StartTestbed, ConfigName: "nowhere"}, patience)
	now := time.Now()
	op.heard = control.Reply{CommandID: op.cmd.ID, Kind: control.Final, Outcome: control.Succeeded, FinishedAt: &now}
	red(t, s, "falsely a success", func(c *counts) int { return c.False })
}

// TestPlantedNoLock: two managers of one user act at once, each with locks and
// a supervisord of its own, and do not hear each other's pings.
func TestPlantedNoLock(t *testing.T) {
	t.Parallel()
	s := newSite(t, setting{})
	other := newSite(t, setting{name: s.users[0].name})
	u, twin := s.users[0], other.users[0]
	twin.key = u.key
	if err := os.Remove(twin.paths.ControlKey()); err != nil {
		t.Fatal(err)
	}
	if err := control.WriteKey(twin.paths.ControlKey(), u.key); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(u.effects(), twin.effects()); err != nil { // both write the one effect log
		t.Fatal(err)
	}
	u.start()
	twin.start()
	second := amq.New(brisk(other.clients.addr(), brokers.MCP))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = second.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	c := s.client(func(conn *amq.Conn) control.Bus {
		return bus{conn, func(ctx context.Context, m amq.Message) error {
			if cmd, err := control.DecodeCommand(m.Body); err == nil && cmd.Verb.Effect() {
				if err := second.Publish(ctx, m); err != nil {
					return err
				}
			}
			return conn.Publish(ctx, m)
		}}
	})
	s.ask(c, u, control.Command{Verb: control.StartTestbed}, patience)
	u.awaitStarts(2)
	op := other.ask(other.client(nil), twin, control.Command{Verb: control.StopTestbed}, patience) // it waits for the start
	if op.err != nil {
		t.Fatal(op.err)
	}
	if _, err := os.Stat(u.effects()); err != nil {
		t.Fatal(err)
	}
	red(t, s, "doubled", func(c *counts) int { return c.Doubled })
}
