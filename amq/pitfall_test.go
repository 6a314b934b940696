package amq_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
)

// The pitfalls of go-stomp and of ActiveMQ that were met in measuring them, one
// test each.

// No frame asks for a receipt but the last: a late one wedges go-stomp for ever.
// SEND has no content-length, and both routing headers are there for Artemis.
func TestFramesOnTheWire(t *testing.T) {
	frames := make(chan string, 100)
	addr := newFake(t, func(f *fake) {
		f.accept("0,0")
		for {
			s := f.frame()
			if s == "" {
				return
			}
			frames <- s
			if strings.HasPrefix(s, "SUBSCRIBE") {
				f.write("MESSAGE\nsubscription:" + header(s, "id") + "\nmessage-id:m\nack:a\ndestination:/queue/q\n\nx\x00")
			}
		}
	})
	c := amq.New(amq.Options{Addr: addr})
	stop := start(t, c)
	up(t, c)
	got, _ := collect(t, c, "/queue/q", amq.SubscribeOptions{}, true)
	next(t, got, "the message")
	publish(t, c, "/topic/t", "body")
	stop()
	seen := map[string]string{}
	for goodbyes := 0; goodbyes < 2; { // one on each connection
		s := next(t, frames, "a frame")
		if strings.HasPrefix(s, "DISCONNECT") {
			goodbyes++
		}
		command, _, _ := strings.Cut(s, "\n")
		seen[command] = s
		if strings.Contains(s, "\nreceipt:") != (command == "DISCONNECT") {
			t.Errorf("receipt in %q", s)
		}
	}
	for command, want := range map[string][]string{
		"SUBSCRIBE": {"destination:/queue/q\n", "ack:client-individual\n", "activemq.prefetchSize:1\n", "consumer-window-size:0\n", "subscription-type:ANYCAST\n"},
		"ACK":       {"id:a\n"},
		"SEND":      {"destination:/topic/t\n", "destination-type:MULTICAST\n", "\n\nbody"},
	} {
		for _, w := range want {
			if !strings.Contains(seen[command], w) {
				t.Errorf("%s lacks %q: %q", command, w, seen[command])
			}
		}
	}
	if strings.Contains(seen["SEND"], "content-length") {
		t.Errorf("SEND has a content-length: %q", seen["SEND"])
	}
}

// An ERROR frame at the worst moment, while go-stomp is sending, locked it up
// in 6 of 100 cases. Here nothing hangs, and every publication is settled.
func TestErrorWhileSending(t *testing.T) {
	var sends atomic.Int64
	addr := newFake(t, func(f *fake) {
		f.accept("0,0")
		for s := f.frame(); s != ""; s = f.frame() {
			if strings.HasPrefix(s, "SEND") && sends.Add(1)%3 == 0 {
				f.write("ERROR\nmessage:boom\n\n\x00")
				return
			}
		}
	})
	o := brisk(addr)
	o.BackoffMin, o.BackoffMax = time.Millisecond, 2*time.Millisecond
	c := connect(t, o)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if err := c.Publish(within(t), amq.Message{Destination: "/queue/q", Body: []byte("x")}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Subscribing while the connection dies: go-stomp then never closes the
// channel, and leaks. Here the subscription lives on and nothing leaks.
func TestSubscribeRacesWithDeath(t *testing.T) {
	var connections atomic.Int64
	addr := newFake(t, func(f *fake) {
		f.accept("0,0")
		if connections.Add(1)%8 != 0 {
			return // at once, while the client subscribes
		}
		for s := f.frame(); s != ""; s = f.frame() {
			if strings.HasPrefix(s, "SUBSCRIBE") {
				f.write("MESSAGE\nsubscription:" + header(s, "id") + "\nmessage-id:m\nack:a\ndestination:/queue/q\n\nx\x00")
			}
		}
	})
	for range 20 {
		o := brisk(addr)
		o.BackoffMin, o.BackoffMax = time.Millisecond, 2*time.Millisecond
		c := amq.New(o)
		stop := start(t, c)
		var all []<-chan *amq.Delivery
		for i := range 10 {
			got, _ := collect(t, c, "/queue/q"+strconv.Itoa(i), amq.SubscribeOptions{}, true)
			all = append(all, got)
		}
		for _, got := range all {
			next(t, got, "a delivery on each subscription")
		}
		stop()
	}
}

// A handler that is stuck must not stall the other subscriptions, nor the
// heart-beats, nor Close. go-stomp's buffer is 17 messages.
func TestStuckHandler(t *testing.T) {
	t.Parallel()
	e := newEmbedded(t, broker.Options{})
	o := brisk(e.Addr())
	o.HeartBeat = time.Second
	c := connect(t, o)
	release, entered := make(chan struct{}), make(chan struct{}, 2000)
	stuck := c.Subscribe("/topic/flood", amq.SubscribeOptions{}, func(context.Context, *amq.Delivery) {
		entered <- struct{}{}
		<-release
	})
	next(t, stuck.Ready(), "Ready")
	other, _ := collect(t, c, "/queue/other", amq.SubscribeOptions{}, true)
	settle(t, c)
	for range 1000 {
		publish(t, c, "/topic/flood", "x")
	}
	next(t, entered, "the handler")
	for i := range 10 { // over several heart-beats
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		<-ctx.Done()
		cancel()
		publish(t, c, "/queue/other", strconv.Itoa(i))
		next(t, other, "the other subscription's message")
	}
	if err := c.LastError(); err != nil {
		t.Errorf("the connection broke: %v", err)
	}
	stuck.Close() // with 999 waiting
	close(release)
	settle(t, c)
	if len(entered) != 0 {
		t.Errorf("%d deliveries after Close", len(entered))
	}
}

// ActiveMQ beats at up to twice the interval, which go-stomp takes for death.
func TestLateHeartBeatsAreNoDeath(t *testing.T) {
	t.Parallel()
	const hb = 2 * time.Second // a quarter of it is the margin
	connections, beats := make(chan struct{}, 10), make(chan int, 100)
	addr := newFake(t, func(f *fake) {
		connections <- struct{}{}
		f.accept("2000,2000")
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = io.Copy(io.Discard, f.br)
		}()
		tick := time.NewTicker(hb * 19 / 10)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-gone:
				return
			case <-tick.C:
				f.write("\n")
				beats <- i
			}
		}
	})
	o := brisk(addr)
	o.HeartBeat = hb
	c := connect(t, o)
	for range 4 { // two on each of the two connections
		next(t, beats, "a heart-beat")
	}
	if len(connections) != 2 || c.LastError() != nil {
		t.Errorf("%d connections, %v", len(connections), c.LastError())
	}
}

// A broker that hangs after CONNECT, before CONNECTED, and a port that is not
// STOMP: Run goes on trying and ends at once when told to.
func TestAttack26BadPeers(t *testing.T) {
	for name, script := range map[string]func(*fake){
		"hangs":           func(f *fake) { _, _ = io.Copy(io.Discard, f.br) },
		"closes":          func(*fake) {},
		"speaks HTTP":     func(f *fake) { f.frame(); f.write("HTTP/1.1 400 Bad Request\r\n\r\n") },
		"refuses":         func(f *fake) { f.frame(); f.write("ERROR\nmessage:not you\n\n\x00") },
		"endless line":    func(f *fake) { f.frame(); f.write("CONNECTED\n" + strings.Repeat("x", 1<<20)) },
		"errors at once":  func(f *fake) { f.accept("0,0"); f.write("ERROR\nmessage:go away\n\n\x00") },
		"empty receipt":   func(f *fake) { f.accept("0,0"); f.write("RECEIPT\n\n\x00"); f.frame() },
		"endless headers": func(f *fake) { f.accept("0,0"); f.write("MESSAGE\n" + strings.Repeat("a:b\n", 200_000)) },
		"negative length": func(f *fake) { f.accept("0,0"); f.write("MESSAGE\ncontent-length:-1\n\n\x00"); f.frame() },
	} {
		t.Run(name, func(t *testing.T) {
			tries := make(chan struct{}, 1000)
			addr := newFake(t, func(f *fake) {
				select {
				case tries <- struct{}{}:
				default:
				}
				script(f)
			})
			c := amq.New(brisk(addr))
			stop := start(t, c)
			c.Subscribe("/queue/q", amq.SubscribeOptions{}, func(context.Context, *amq.Delivery) {})
			want := 6
			if name == "hangs" || name == "endless headers" {
				want = 2 // each try lasts its time-out
			}
			for range want {
				next(t, tries, "another try")
			}
			stop()
		})
	}
}

// The error of a call that found no broker says so and keeps the cause.
func TestAttack26UnreachableBroker(t *testing.T) {
	c := amq.New(brisk(freeAddr(t)))
	start(t, c)
	_ = firstError(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := c.Publish(ctx, amq.Message{Destination: "/queue/q"})
	var e *amq.Error
	var op *net.OpError
	if !errors.As(err, &e) || e.Code != amq.CodeUnreachable || !errors.As(err, &op) {
		t.Errorf("got %v", err)
	}
	if err := c.WaitUp(ctx); !errors.As(err, &e) || e.Code != amq.CodeUnreachable {
		t.Errorf("got %v", err)
	}
}

// What is refused on the publishing connection costs the consuming one nothing.
func TestErrorHitsOneConnection(t *testing.T) {
	e := newEmbedded(t, broker.Options{MaxQueueBytes: 2000})
	c := connect(t, brisk(e.Addr()))
	subscribed := make(chan struct{}, 10)
	got, _ := collect(t, c, "/queue/mine", amq.SubscribeOptions{OnSubscribed: func() { subscribed <- struct{}{} }}, true)
	next(t, subscribed, "the subscription")
	var err error // kept, for LastError forgets it once the connection is back
	for ; err == nil; err = c.LastError() {
		publish(t, c, "/queue/full", "x")
	}
	if !strings.Contains(err.Error(), "full") {
		t.Errorf("got %v", err)
	}
	up(t, c)
	publish(t, c, "/queue/mine", "still here")
	next(t, got, "the message")
	if len(subscribed) != 0 {
		t.Error("the consuming connection was lost too")
	}
}

// Logins with characters that go-stomp would escape in CONNECT.
func TestLogin(t *testing.T) {
	e := newEmbedded(t, broker.Options{Login: "a:b", Passcode: `c\n:d\\e`})
	o := brisk(e.Addr())
	o.Login, o.Passcode = "a:b", `c\n:d\\e`
	connect(t, o)
	for _, wrong := range []amq.Options{{Login: "a:b", Passcode: "x"}, {Login: "x", Passcode: o.Passcode}, {}} {
		w := brisk(e.Addr())
		w.Login, w.Passcode = wrong.Login, wrong.Passcode
		c := amq.New(w)
		stop := start(t, c)
		for c.LastError() == nil {
			next(t, amq.Changed(c), "the refusal")
		}
		if !strings.Contains(c.LastError().Error(), "login or passcode is wrong") || strings.Contains(fmt.Sprint(c.LastError()), o.Passcode) {
			t.Errorf("got %v", c.LastError())
		}
		stop()
	}
}

// When ctx ends in the midst of a message nobody may say that it was not sent:
// the rest may still go out.
func TestPublishThatIsOnItsWayIsUncertain(t *testing.T) {
	c := amq.New(brisk(newFake(t, func(f *fake) {
		f.accept("0,0")
		<-t.Context().Done() // and nothing more is read
	})))
	start(t, c)
	body := []byte(strings.Repeat("x", amq.MaxBody))
	publish := func() error { // the kernel takes the first ones
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return c.Publish(ctx, amq.Message{Destination: "/queue/q", Body: body})
	}
	err := publish()
	for err == nil {
		err = publish()
	}
	var e *amq.Error
	if !errors.As(err, &e) || e.Code != amq.CodeUncertain {
		t.Errorf("got %v", err)
	}
}

// A reply that is there when ctx ends is told: which of the two a select sees
// first is chance.
func TestReplyCountsMoreThanTheEndOfPatience(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	reply := make(chan amq.Message, 1)
	for range 64 {
		reply <- amq.Message{Body: []byte("x")}
		if m, err := amq.AnswerTo(ctx, reply); err != nil || string(m.Body) != "x" {
			t.Fatalf("%q, %v", m.Body, err)
		}
	}
}
