package amq_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/test/brokers"
)

// What a subscription may have ahead of its handler is a number of messages,
// whatever a broker counts in: an automatic one never runs dry, and one with
// Acks is refilled by them.
func testAhead(t *testing.T, s server) {
	c := connect(t, brisk(s.Addr()))
	kilobyte := strings.Repeat("x", 1<<10)
	for name, o := range map[string]amq.SubscribeOptions{
		"automatic":           {AutoAck: true, Prefetch: 100},
		"automatic, no limit": {AutoAck: true},
		"ten":                 {Prefetch: 10},
	} {
		q := unique(t, "queue")
		got, sub := collect(t, c, q, o, true)
		for range 200 {
			publish(t, c, q, kilobyte)
		}
		for i := range 200 {
			select {
			case <-got:
			case <-within(t).Done():
				t.Fatalf("%s: stuck after %d messages", name, i)
			}
		}
		sub.Close()
	}
}

// A consumer that dies again and again before its Ack gets the message again
// and again: Artemis' own default would give it to the dead letters after ten.
func testCrashes(t *testing.T, s server) {
	q := unique(t, "queue")
	publish(t, connect(t, brisk(s.Addr())), q, "a command", "persistent", "true")
	for i := range 13 {
		c := amq.New(brisk(s.Addr()))
		stop := start(t, c)
		got, _ := collect(t, c, q, amq.SubscribeOptions{}, false)
		if d := next(t, got, "the command"); d.Redelivered != (i > 0) {
			t.Errorf("attempt %d: redelivered is %v", i, d.Redelivered)
		}
		stop()
	}
}

// testStored: a persistent message outlives a broker that is killed with it.
func testStored(t *testing.T, s server) {
	q := unique(t, "queue")
	raw := dialRaw(t, s.Addr())
	raw.connect("1.2")
	raw.send("SEND\ndestination:" + q + "\ndestination-type:ANYCAST\npersistent:true\nreceipt:r\n\nkept")
	raw.expect("RECEIPT")
	s.Kill(t)
	s.Start(t)
	got, _ := collect(t, connect(t, brisk(s.Addr())), q, amq.SubscribeOptions{}, true)
	if d := next(t, got, "the stored message"); string(d.Body) != "kept" {
		t.Errorf("got %q", d.Body)
	}
}

// testPermissions: who may do what with deploy/'s configuration. A refusal is
// an ERROR that ends the connection.
func testPermissions(t *testing.T, s server) {
	const subscribe, send = "SUBSCRIBE\nid:1\nack:auto\n", "SEND\n"
	for _, tt := range []struct {
		login, frame, destination string
		may                       bool
	}{
		{"ann", subscribe, "/queue/testbed.ann.control", true},
		{"ann", subscribe, "/queue/testbed.ann.workflow", true},
		{"ann", subscribe, "/queue/agent_control.ann", true},
		{"ann", subscribe, "/topic/testbed.ann.managers", true},
		{"ann", subscribe, "/topic/epictopic", true},
		{"ann", subscribe, "/queue/testbed.replies.ann.0123", true},
		{"ann", subscribe, "/queue/swf-replies.ann.0123", true},
		{"ann", send, "/queue/testbed.ann.control", true},
		{"ann", send, "/queue/testbed.replies.ann.0123", true},
		{"ann", send, "/queue/testbed.replies.mcp.0123", true},
		{"ann", send, "/queue/testbed.replies.bob.0123", true},
		{"ann", send, "/topic/epictopic", true},
		{"ann", subscribe, "/queue/testbed.bob.control", false},
		{"ann", send, "/queue/testbed.bob.control", false},
		{"ann", subscribe, "/queue/agent_control.bob", false},
		{"ann", send, "/queue/agent_control.bob", false},
		{"ann", send, "/topic/testbed.ann.managers", true},
		{"ann", subscribe, "/topic/testbed.bob.managers", false},
		{"ann", send, "/topic/testbed.bob.managers", false},
		{brokers.MCP, send, "/topic/testbed.ann.managers", false},
		{"ann", subscribe, "/queue/testbed.dead", false},
		{"ann", subscribe, "/queue/testbed.replies.0123", false},
		{"ann", subscribe, "/queue/testbed.replies.bob.0123", false},
		{"ann", subscribe, "/queue/testbed.replies.mcp.0123", false},
		{"ann", subscribe, "/queue/swf-replies.mcp.0123", false},
		{brokers.MCP, subscribe, "/queue/testbed.replies.ann.0123", false},
		{"ann", send, "/queue/elsewhere", false},
		{brokers.MCP, send, "/queue/testbed.ann.control", true},
		{brokers.MCP, send, "/queue/testbed.bob.control", true},
		{brokers.MCP, send, "/queue/agent_control.bob", true},
		{brokers.MCP, subscribe, "/queue/testbed.replies.mcp.4567", true},
		{brokers.MCP, subscribe, "/queue/swf-replies.mcp.4567", true},
		{brokers.MCP, subscribe, "/queue/testbed.ann.control", false},
	} {
		raw := login(t, s, tt.login)
		kind := "ANYCAST"
		if strings.HasPrefix(tt.destination, "/topic/") {
			kind = "MULTICAST"
		}
		raw.send(tt.frame + "receipt:r\ndestination:" + tt.destination + "\ndestination-type:" + kind + "\nsubscription-type:" + kind + "\n\n")
		answer := raw.read()
		for strings.HasPrefix(answer, "MESSAGE") { // what an earlier row sent
			answer = raw.read()
		}
		if may := strings.HasPrefix(answer, "RECEIPT"); may != tt.may {
			command, _, _ := strings.Cut(tt.frame, "\n")
			t.Errorf("%s %s %s: answered %.100q", tt.login, command, tt.destination, answer)
		}
	}
}

// TestAttack19Wiretap: names that a real broker may read as more than one queue.
// Whether it refuses them or takes them, before or after the queues are there,
// no user hears or takes what is for another: the owner gets every message.
func TestAttack19Wiretap(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...string) *brokers.Server{"classic": brokers.Classic, "artemis": brokers.Artemis} {
		t.Run(name, func(t *testing.T) {
			s := start(t, "ann", "bob")
			for _, first := range []string{"the spy", "the owner"} {
				t.Run(first+" comes first", func(t *testing.T) { wiretap(t, s, first == "the spy") })
			}
		})
	}
}

// wiretap subscribes to everything as ann, and to their own queues as the owners.
func wiretap(t *testing.T, s server, spyFirst bool) {
	spy := func() {
		for _, pattern := range []string{"testbed.>", "testbed.#", ">", "#", "*.*.*", "testbed.*.control", "testbed.replies.*.0123", "testbed.replies.>",
			"testbed.ann.x,testbed.bob.control", "testbed.ann.x,/queue/testbed.bob.control", "testbed.bob.control?consumer.exclusive=true&consumer.priority=100",
			"testbed.bob.control::testbed.bob.control", "testbed.ann.x::testbed.bob.control"} {
			raw := login(t, s, "ann")
			raw.send("SUBSCRIBE\nid:1\nack:auto\nreceipt:r\ndestination:/queue/" + pattern + "\nsubscription-type:ANYCAST\n\n")
			raw.read() // a refusal, or not: only what is heard counts
		}
	}
	if spyFirst {
		spy()
	}
	heard := map[string]*raw{}
	for owner, queue := range map[string]string{"bob": "/queue/testbed.bob.control", brokers.MCP: "/queue/testbed.replies.mcp.0123"} {
		heard[queue] = login(t, s, owner)
		heard[queue].send("SUBSCRIBE\nid:1\nack:auto\nreceipt:s\ndestination:" + queue + "\nsubscription-type:ANYCAST\n\n")
		heard[queue].expect("RECEIPT")
	}
	if !spyFirst {
		spy()
	}
	sender := login(t, s, brokers.Admin)
	for queue, owner := range heard {
		for i := range 20 {
			sender.send(fmt.Sprintf("SEND\ndestination:%s\ndestination-type:ANYCAST\n\nmessage %d", queue, i))
		}
		for i := range 20 {
			for !strings.HasSuffix(owner.expect("MESSAGE"), fmt.Sprintf("\n\nmessage %d", i)) { // what an earlier row sent
			}
		}
	}
}

// login is a connection of a user of deploy/'s configuration.
func login(t *testing.T, s server, user string) *raw {
	t.Helper()
	raw := dialRaw(t, s.Addr())
	raw.send("CONNECT\naccept-version:1.2\nhost:x\nlogin:" + user + "\npasscode:" + brokers.Passcode(user) + "\n\n")
	raw.expect("CONNECTED")
	return raw
}
