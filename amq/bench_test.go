package amq_test

import (
	"context"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
)

// BenchmarkRequest is request and reply through the embedded broker, four hops.
func BenchmarkRequest(b *testing.B) {
	e := newEmbedded(b, broker.Options{})
	c, server := connect(b, brisk(e.Addr())), connect(b, brisk(e.Addr()))
	server.Subscribe("/queue/q", amq.SubscribeOptions{}, func(ctx context.Context, d *amq.Delivery) {
		_ = d.Ack()
		_ = server.Publish(ctx, amq.Message{Destination: d.Headers["reply-to"], Body: d.Body,
			Headers: map[string]string{"correlation-id": d.Headers["correlation-id"]}})
	})
	m := amq.Message{Destination: "/queue/q", Body: []byte(strings.Repeat("x", 200))}
	for b.Loop() {
		if _, err := c.Request(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPublish is one publisher and one consumer on a topic.
func BenchmarkPublish(b *testing.B) {
	e := newEmbedded(b, broker.Options{})
	c := connect(b, brisk(e.Addr()))
	got := make(chan struct{}, 1024)
	s := c.Subscribe("/topic/t", amq.SubscribeOptions{}, func(context.Context, *amq.Delivery) { got <- struct{}{} })
	<-s.Ready()
	m := amq.Message{Destination: "/topic/t", Body: []byte(strings.Repeat("x", 200))}
	for b.Loop() {
		if err := c.Publish(b.Context(), m); err != nil {
			b.Fatal(err)
		}
		<-got
	}
}
