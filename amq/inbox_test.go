package amq_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/epic-swf/testbed/amq"
)

// flood sends that many messages to the first subscription and waits.
func flood(n int) func(*fake) {
	return func(f *fake) {
		f.accept("0,0")
		for s := f.frame(); s != ""; s = f.frame() {
			if !strings.HasPrefix(s, "SUBSCRIBE") {
				continue
			}
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "MESSAGE\nsubscription:%s\nmessage-id:%d\nack:%d\ndestination:/queue/q\n\nx\x00", header(s, "id"), i, i)
			}
			f.write(b.String())
		}
	}
}

// A handler that is stuck in a flood: what is counted as dealt with anyway is
// dropped and counted, and the connection lives.
func TestInboxDrops(t *testing.T) {
	const n = 20_000
	c := connect(t, brisk(newFake(t, flood(n))))
	release, entered := make(chan struct{}), make(chan struct{}, n)
	s := c.Subscribe("/queue/q", amq.SubscribeOptions{AutoAck: true}, func(context.Context, *amq.Delivery) {
		entered <- struct{}{}
		<-release
	})
	next(t, entered, "the handler")
	last := make(chan struct{})
	once := sync.OnceFunc(func() { close(last) })
	c.Subscribe("/queue/q", amq.SubscribeOptions{AutoAck: true}, func(context.Context, *amq.Delivery) { once() }) // flooded behind the first
	next(t, last, "the second subscription's message")
	close(release)
	for handled := 1; handled < n-int(s.Dropped()); handled++ {
		next(t, entered, "a message")
	}
	if s.Dropped() == 0 || c.LastError() != nil {
		t.Errorf("%d dropped, %v", s.Dropped(), c.LastError())
	}
}

// A broker that ignores the prefetch is hung up on: it has the messages still.
func TestOverrun(t *testing.T) {
	c := connect(t, brisk(newFake(t, flood(20_000))))
	release := make(chan struct{})
	c.Subscribe("/queue/q", amq.SubscribeOptions{}, func(context.Context, *amq.Delivery) { <-release })
	err := firstError(t, c)
	close(release)
	if !strings.Contains(err.Error(), "before their ACKs") {
		t.Errorf("got %v", err)
	}
}
