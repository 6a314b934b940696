package amq_test

import (
	"strconv"
	"testing"

	"github.com/epic-swf/testbed/amq"
)

// deaths are the tests that end the broker and bring it back. They run last
// over each.
var deaths = []struct {
	name string
	test func(*testing.T, server)
}{
	{"stopped", func(t *testing.T, s server) { testDeath(t, s, s.Stop) }},
	{"killed", func(t *testing.T, s server) { testDeath(t, s, s.Kill) }},
	{"killed again and again", testDeaths},
	{"absent at first", testAbsent},
}

// testDeath: everything comes back by itself, subscriptions included, and an
// Ack of before does no harm.
func testDeath(t *testing.T, s server, end func(testing.TB)) {
	q, topic := unique(t, "queue"), unique(t, "topic")
	c := connect(t, brisk(s.Addr()))
	subscribed := make(chan struct{}, 100)
	got, _ := collect(t, c, q, amq.SubscribeOptions{OnSubscribed: func() { subscribed <- struct{}{} }}, false)
	news, _ := collect(t, c, topic, amq.SubscribeOptions{}, false)
	next(t, subscribed, "the subscription")
	publish(t, c, q, "before")
	old := next(t, got, "the message")

	end(t)
	waitDown(t, c)
	if c.LastError() == nil {
		t.Error("no LastError while the broker is away")
	}
	late := make(chan error, 1)
	go func() { late <- c.Publish(within(t), amq.Message{Destination: q, Body: []byte("meanwhile")}) }()
	s.Start(t)
	if err := c.WaitUp(within(t)); err != nil {
		t.Fatal(err)
	}
	next(t, subscribed, "the subscription anew")
	if err := old.Ack(); err != nil {
		t.Error(err)
	}
	if err := next(t, late, "Publish"); err != nil {
		t.Error(err)
	}
	if d := next(t, got, "what was published meanwhile"); string(d.Body) != "meanwhile" {
		t.Errorf("got %q", d.Body)
	} else {
		_ = d.Ack()
	}
	settle(t, c)
	publish(t, c, topic, "after")
	next(t, news, "the topic's message")
	if err := c.LastError(); err != nil {
		t.Errorf("the old Ack broke the connection: %v", err)
	}
}

func waitDown(t *testing.T, c *amq.Conn) {
	t.Helper()
	for {
		changed := amq.Changed(c)
		if amq.Down(c) { // one link may be seen to be dead before the other
			return
		}
		select {
		case <-changed:
		case <-within(t).Done():
			t.Fatal("the loss of the broker went unnoticed")
		}
	}
}

func testDeaths(t *testing.T, s server) {
	q := unique(t, "queue")
	c := connect(t, brisk(s.Addr()))
	got, _ := collect(t, c, q, amq.SubscribeOptions{}, true)
	for i := range 3 {
		s.Kill(t)
		s.Start(t)
		waitAnew(t, c, q, got, i)
	}
}

// waitAnew publishes until one message comes through: a publication that was
// on its way when the broker died is lost, and its sender repeats it.
func waitAnew(t *testing.T, c *amq.Conn, q string, got <-chan *amq.Delivery, i int) {
	t.Helper()
	ctx := within(t)
	want := strconv.Itoa(i)
	for ctx.Err() == nil {
		changed := amq.Changed(c) // also while it is published
		publish(t, c, q, want)
		select {
		case d := <-got:
			if string(d.Body) == want {
				return
			}
		case <-changed:
		case <-ctx.Done():
		}
	}
	t.Fatal("nothing came through any more")
}

func testAbsent(t *testing.T, s server) {
	q := unique(t, "queue")
	s.Stop(t)
	c := amq.New(brisk(s.Addr()))
	start(t, c)
	got, _ := collect(t, c, q, amq.SubscribeOptions{}, true)
	s.Start(t)
	publish(t, c, q, "at last")
	next(t, got, "the message")
}
