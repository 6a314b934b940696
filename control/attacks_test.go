package control

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/swf"
)

// frames is a bus that keeps what would be sent. Nobody answers.
type frames struct{ sent []amq.Message }

func (f *frames) Publish(_ context.Context, m amq.Message) error {
	f.sent = append(f.sent, m)
	return nil
}

func (f *frames) Subscribe(d string, o amq.SubscribeOptions, h func(context.Context, *amq.Delivery)) *amq.Subscription {
	return amq.New(amq.Options{}).Subscribe(d, o, h)
}

// hostile are names that mean something to a frame, a broker, a shell or a
// file system.
var hostile = []string{"ann\r", "ann\n", "ann\x00", "ann:", "ann\nreply-to:/queue/x", "ann\r\n\r\nSEND", "alice,/queue/x", "*", ">", "#", "::", "ann::bob", "ann.>",
	"?consumer.exclusive=true", "/topic/epictopic", "../ann", "Ann", "ann ", "аnn", "ａnn", "ann\u200b", "%6fnn", "", strings.Repeat("a", 33)}

// A name that is not one is refused before a frame is built.
func TestAttack18NamesNeverReachAFrame(t *testing.T) {
	bus := &frames{}
	c := NewClient(ClientOptions{Bus: bus, Keys: func(string) Ring { return NewKey().Ring() }})
	defer c.Close()
	for _, name := range hostile {
		for what, cmd := range map[string]Command{
			"username": {Verb: StopTestbed, ID: "a", Username: name},
			"id":       {Verb: StopTestbed, ID: name + "\n", Username: "ann"},
			"config":   {Verb: StartTestbed, ID: "a", Username: "ann", ConfigName: name + "\n"},
			"verb":     {Verb: Verb(name), ID: "a", Username: "ann"},
		} {
			if _, err := c.Ask(t.Context(), cmd, nil); swf.AsError(err) == nil || swf.AsError(err).Hint == "" {
				t.Errorf("%s %q: %v", what, name, err)
			}
		}
	}
	if len(bus.sent) > 0 {
		t.Errorf("sent: %+v", bus.sent[0])
	}
}

// Queues are made of checked names only, and replies go to nothing but a queue
// of their own form.
func TestAttack19QueueNames(t *testing.T) {
	secret := strings.Repeat("0a", 16)
	for _, name := range hostile {
		if swf.CheckName(swf.KindUsername, name) == nil {
			t.Errorf("username %q is taken", name)
		}
		if q := swf.ReplyQueue(name, secret); !swf.IsReplyQueue(q) || amq.CheckDestination(q) != nil {
			t.Errorf("the login %q makes the reply queue %q", name, q)
		}
		for _, q := range []string{swf.ReplyPrefix + name, swf.ReplyPrefix + name + "." + secret + "\n", "/queue/" + name, "/queue/testbed." + name + ".control", swf.ReplyPrefix + secret + name} {
			if name != "" && name != "Ann" && name != strings.Repeat("a", 33) && swf.IsReplyQueue(q) {
				t.Errorf("replies would go to %q", q)
			}
		}
	}
	for _, q := range []string{swf.ReplyQueue("mcp", secret), swf.ReplyQueue("", secret)} {
		if !swf.IsReplyQueue(q) {
			t.Errorf("%q is no reply queue", q)
		}
	}
}

// What comes to the reply queue and is not signed for this command with the
// addressed user's key as a reply changes nothing.
func TestAttack23ForgedOutcome(t *testing.T) {
	ann, bob := NewKey(), NewKey()
	c := NewClient(ClientOptions{Keys: func(string) Ring { return ann.Ring() }})
	cmd := Command{Verb: StopTestbed, ID: "a", Username: "ann"}
	w := &call{username: "ann", ring: ann.Ring(), intent: cmd.Intent(), replies: make(chan *Reply, 8)}
	c.enter("a", w)
	lie := Reply{CommandID: "a", Kind: Final, Outcome: Succeeded, Intent: cmd.Intent()}
	send := func(r Reply, sign func([]byte) string) {
		d := delivery(t, r)
		d.Headers = map[string]string{SignatureHeader: sign(d.Body)}
		c.receive(context.Background(), d)
	}
	thief := bob
	thief.ID = ann.ID
	dead := ann
	dead.Until = time.Now()
	w2 := &call{username: "ann", ring: dead.Ring(), intent: cmd.Intent(), replies: make(chan *Reply, 8)}
	for name, sign := range map[string]func([]byte) string{
		"unsigned":    func([]byte) string { return "" },
		"bob's":       func(b []byte) string { return bob.Sign(DomainReply, b) },
		"ann's id":    func(b []byte) string { return thief.Sign(DomainReply, b) },
		"as command":  func(b []byte) string { return ann.Sign(DomainCommand, b) },
		"of another":  func([]byte) string { return ann.Sign(DomainReply, []byte(`{"command_id":"a"}`)) },
		"zero secret": func(b []byte) string { return (Key{ID: ann.ID}).Sign(DomainReply, b) },
		"rubbish":     func([]byte) string { return strings.Repeat(";", 9000) },
	} {
		if send(lie, sign); len(w.replies) > 0 {
			t.Errorf("%s: believed %+v", name, <-w.replies)
		}
	}
	other := lie
	other.Intent = (&Command{Verb: StartTestbed, ID: "a", Username: "ann"}).Intent()
	send(other, func(b []byte) string { return ann.Sign(DomainReply, b) })
	c.receive(context.Background(), &amq.Delivery{Message: amq.Message{Body: []byte("{")}})
	notice := lie // a notice needs no key, and so decides nothing
	notice.Kind = Rejected
	send(notice, func([]byte) string { return "" })
	c.enter("a", w2)
	send(lie, func(b []byte) string { return dead.Sign(DomainReply, b) })
	if len(w2.replies) > 0 {
		t.Error("a dead key is believed")
	}
	if n := len(w.replies); n != 1 { // the last one was ann's own
		t.Errorf("%d replies were believed", n)
	}
}

// FuzzNames: whatever the names are, no frame leaves that a broker could read
// as another header, another queue or more than one.
func FuzzNames(f *testing.F) {
	for _, name := range hostile {
		f.Add(name, "id", "config")
		f.Add("ann", name, name)
	}
	f.Add("ann", "a-1", "fast_processing.toml")
	f.Fuzz(func(t *testing.T, username, id, config string) {
		c := NewClient(ClientOptions{})
		cmd := Command{Verb: StartTestbed, ID: id, Username: username, ConfigName: config, ReplyTo: c.replyTo}
		cmd.Complete(time.Unix(1, 0))
		if cmd.Check() != nil {
			return
		}
		body, err := cmd.Encode()
		if err != nil {
			t.Fatal(err)
		}
		copies, err := c.copies(context.Background(), &cmd, NewKey().Ring(), body)
		if err != nil || len(copies) != 1 {
			t.Fatal(err)
		}
		if err := amq.CheckDestination(copies[0].Destination); err != nil {
			t.Fatal(err)
		}
		for k, v := range copies[0].Headers {
			if strings.ContainsAny(k+v, "\r\n\x00") || (k != "reply-to" && strings.Contains(v, ":")) {
				t.Fatalf("%s: %q", k, v)
			}
		}
	})
}
