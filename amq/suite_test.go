package amq_test

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/test/brokers"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// suite is what must hold over every broker. Destinations are unique, so the
// broker is shared.
var suite = []struct {
	name string
	test func(*testing.T, server)
}{
	{"queue", testQueue},
	{"topic", testTopic},
	{"headers survive", testHeaders},
	{"request and reply", testRequest},
	{"prefetch one", testPrefetch},
	{"round robin", testRoundRobin},
	{"redelivery", testRedelivery},
	{"closed subscription gives back", testClose},
	{"wrong acks are harmless", testHarmlessAcks},
	{"expires", testExpires},
	{"oversized", testOversized},
	{"ahead of the handler", testAhead},
	{"crash after crash", testCrashes},
}

func TestSuite(t *testing.T) {
	kinds := []struct {
		name string
		make func(*testing.T) server
	}{
		{"embedded", func(t *testing.T) server {
			return newEmbedded(t, broker.Options{Login: "admin", Passcode: "admin", MaxBody: 1 << 20})
		}},
		{"classic", func(t *testing.T) server { return brokers.Classic(t, "ann", "bob") }},
		{"artemis", func(t *testing.T) server { return brokers.Artemis(t, "ann", "bob") }},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			s := k.make(t)
			for _, c := range suite {
				t.Run(c.name, func(t *testing.T) { c.test(t, s) })
			}
			if k.name != "embedded" { // which has no store and one login
				t.Run("permissions", func(t *testing.T) { testPermissions(t, s) })
				t.Run("stored", func(t *testing.T) { testStored(t, s) })
			}
			for _, c := range deaths { // these end the broker
				t.Run(c.name, func(t *testing.T) { c.test(t, s) })
			}
		})
	}
}

func testQueue(t *testing.T, s server) {
	q := unique(t, "queue")
	c := connect(t, brisk(s.Addr()))
	publish(t, c, q, "before anybody listened")
	got, sub := collect(t, c, q, amq.SubscribeOptions{}, true)
	if d := next(t, got, "the first message"); string(d.Body) != "before anybody listened" || d.Destination != q || d.ID == "" || d.Redelivered {
		t.Errorf("got %+v", d.Message)
	}
	next(t, sub.Ready(), "Ready")
	for i := range 50 {
		publish(t, c, q, strconv.Itoa(i))
	}
	for i := range 50 {
		if d := next(t, got, "a message"); string(d.Body) != strconv.Itoa(i) {
			t.Fatalf("message %d is %q", i, d.Body)
		}
	}
}

func testTopic(t *testing.T, s server) {
	topic := unique(t, "topic")
	c := connect(t, brisk(s.Addr()))
	one, s1 := collect(t, c, topic, amq.SubscribeOptions{}, true)
	two, s2 := collect(t, c, topic, amq.SubscribeOptions{}, false)
	next(t, s1.Ready(), "Ready")
	next(t, s2.Ready(), "Ready")
	settle(t, c)
	for i := range 20 {
		publish(t, c, topic, strconv.Itoa(i))
	}
	for i := range 20 {
		a, b := next(t, one, "a message"), next(t, two, "a message")
		if string(a.Body) != strconv.Itoa(i) || string(b.Body) != strconv.Itoa(i) {
			t.Fatalf("message %d is %q and %q", i, a.Body, b.Body)
		}
	}
}

// settle returns once the broker has worked off what the consuming connection
// sent before: a queue subscribed to after it delivers.
func settle(t *testing.T, c *amq.Conn) {
	t.Helper()
	q := unique(t, "queue") + ".settle"
	got, sub := collect(t, c, q, amq.SubscribeOptions{}, true)
	publish(t, c, q, "there?")
	next(t, got, "the probe")
	sub.Close()
}

func testHeaders(t *testing.T, s server) {
	q := unique(t, "queue")
	c := connect(t, brisk(s.Addr()))
	got, _ := collect(t, c, q, amq.SubscribeOptions{}, true)
	want := map[string]string{
		"correlation-id": "c-1", "reply-to": "/queue/replies.x", "persistent": "true",
		"swf-signature": "k1;aGVsbG8=+/", "plain": "a b", "colons": "a:b:c", "slash": `back\slash`, "utf8": "grüße",
	}
	if err := c.Publish(within(t), amq.Message{Destination: q, Headers: want, Body: []byte(`{"x":1}`)}); err != nil {
		t.Fatal(err)
	}
	d := next(t, got, "the message")
	for k, v := range want {
		if d.Headers[k] != v {
			t.Errorf("header %s is %q, want %q", k, d.Headers[k], v)
		}
	}
	if _, ok := d.Headers["content-length"]; ok && s.(interface{ Addr() string }) != nil {
		if _, isEmbedded := s.(*embedded); isEmbedded && d.Headers["content-length"] != strconv.Itoa(len(d.Body)) {
			t.Errorf("content-length %q", d.Headers["content-length"])
		}
	}
	if !json.Valid(d.Body) {
		t.Errorf("body %q", d.Body)
	}
}

func testRequest(t *testing.T, s server) {
	q := unique(t, "queue")
	c, server := connect(t, brisk(s.Addr())), connect(t, brisk(s.Addr()))
	server.Subscribe(q, amq.SubscribeOptions{}, func(ctx context.Context, d *amq.Delivery) {
		_ = d.Ack()
		if string(d.Body) == "silence" {
			return
		}
		h := map[string]string{"correlation-id": d.Headers["correlation-id"]}
		for range 2 { // the second reply must hurt nobody
			if err := server.Publish(ctx, amq.Message{Destination: d.Headers["reply-to"], Headers: h, Body: append([]byte("re: "), d.Body...)}); err != nil && ctx.Err() == nil {
				t.Errorf("reply: %v", err)
			}
		}
	})
	for i := range 5 {
		body := strconv.Itoa(i)
		m, err := c.Request(within(t), amq.Message{Destination: q, Body: []byte(body)})
		if err != nil || string(m.Body) != "re: "+body {
			t.Fatalf("%q, %v", m.Body, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Request(ctx, amq.Message{Destination: q, Body: []byte("silence")}); err == nil {
		t.Error("an unanswered Request returned no error")
	}
}

func testPrefetch(t *testing.T, s server) {
	q := unique(t, "queue")
	c := connect(t, brisk(s.Addr()))
	got, _ := collect(t, c, q, amq.SubscribeOptions{}, false)
	publish(t, c, q, "1")
	first := next(t, got, "the first message")
	publish(t, c, q, "2")
	settle(t, c) // the second had every chance to come
	select {
	case d := <-got:
		t.Fatalf("%q came before the first was acknowledged", d.Body)
	default:
	}
	_ = first.Ack()
	if d := next(t, got, "the second message"); string(d.Body) != "2" {
		t.Errorf("got %q", d.Body)
	}
}

func testRoundRobin(t *testing.T, s server) {
	q := unique(t, "queue")
	c := connect(t, brisk(s.Addr()))
	a, sa := collect(t, c, q, amq.SubscribeOptions{}, true)
	b, sb := collect(t, c, q, amq.SubscribeOptions{}, true)
	next(t, sa.Ready(), "Ready")
	next(t, sb.Ready(), "Ready")
	settle(t, c)
	for i := range 20 {
		publish(t, c, q, strconv.Itoa(i))
	}
	seen := map[string]bool{}
	for range 20 {
		select {
		case d := <-a:
			seen[string(d.Body)] = true
		case d := <-b:
			seen[string(d.Body)] = true
		case <-time.After(patience):
			t.Fatal("messages missing")
		}
	}
	if len(seen) != 20 {
		t.Errorf("%d different messages, want 20", len(seen))
	}
}

func testRedelivery(t *testing.T, s server) {
	q := unique(t, "queue")
	first := amq.New(brisk(s.Addr()))
	stop := start(t, first)
	got, _ := collect(t, first, q, amq.SubscribeOptions{}, false)
	publish(t, first, q, "kept")
	publish(t, first, q, "lost")
	_ = next(t, got, "the first message").Ack()
	if d := next(t, got, "the second message"); d.Redelivered {
		t.Error("redelivered at first")
	}
	stop() // with the second unacknowledged, and the ack of the first on its way

	second := connect(t, brisk(s.Addr()))
	again, _ := collect(t, second, q, amq.SubscribeOptions{}, true)
	if d := next(t, again, "the redelivery"); string(d.Body) != "lost" || !d.Redelivered {
		t.Errorf("got %q, redelivered %v", d.Body, d.Redelivered)
	}
}

func testClose(t *testing.T, s server) {
	q := unique(t, "queue")
	c := connect(t, brisk(s.Addr()))
	got, sub := collect(t, c, q, amq.SubscribeOptions{Prefetch: 10}, false)
	publish(t, c, q, "1")
	publish(t, c, q, "2")
	d := next(t, got, "the first message")
	next(t, got, "the second message")
	sub.Close()
	sub.Close()
	_ = d.Ack() // of a closed subscription: must not cost the connection
	again, _ := collect(t, c, q, amq.SubscribeOptions{}, true)
	for _, want := range []string{"1", "2"} {
		if d := next(t, again, "the redelivery"); string(d.Body) != want {
			t.Errorf("got %q, want %q", d.Body, want)
		}
	}
	if err := c.LastError(); err != nil {
		t.Errorf("the connection broke: %v", err)
	}
}

// A second ACK makes Classic close the connection; ours must never be sent.
func testHarmlessAcks(t *testing.T, s server) {
	q := unique(t, "queue")
	c := connect(t, brisk(s.Addr()))
	got, _ := collect(t, c, q, amq.SubscribeOptions{}, false)
	for i := range 3 {
		publish(t, c, q, strconv.Itoa(i))
		d := next(t, got, "a message")
		for range 3 {
			if err := d.Ack(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := c.LastError(); err != nil || !c.Up() {
		t.Errorf("the connection broke: %v", err)
	}
}

func testExpires(t *testing.T, s server) {
	q := unique(t, "queue")
	c := connect(t, brisk(s.Addr()))
	publish(t, c, q, "stale", "expires", strconv.FormatInt(time.Now().Add(-time.Hour).UnixMilli(), 10))
	publish(t, c, q, "fresh", "expires", strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10))
	got, _ := collect(t, c, q, amq.SubscribeOptions{}, true)
	if d := next(t, got, "the fresh message"); string(d.Body) != "fresh" {
		t.Errorf("got %q", d.Body)
	}
}

// A message over the limit, with and without content-length, is taken off the
// queue and dropped, and what follows is delivered.
func testOversized(t *testing.T, s server) {
	q := unique(t, "queue")
	raw := dialRaw(t, s.Addr())
	raw.connect("1.2")
	big := make([]byte, amq.MaxBody+1)
	for i := range big {
		big[i] = 'x'
	}
	raw.send("SEND\ndestination:" + q + "\ncontent-length:" + strconv.Itoa(len(big)) + "\n\n" + string(big))
	raw.send("SEND\ndestination:" + q + "\n\n" + string(big))
	raw.send("SEND\ndestination:" + q + "\nreceipt:r\n\nfine")
	raw.expect("RECEIPT")
	c := connect(t, brisk(s.Addr()))
	got, sub := collect(t, c, q, amq.SubscribeOptions{}, true)
	if d := next(t, got, "the small message"); string(d.Body) != "fine" {
		t.Errorf("got %d bytes", len(d.Body))
	}
	if sub.Dropped() != 2 {
		t.Errorf("%d dropped, want 2", sub.Dropped())
	}
}
