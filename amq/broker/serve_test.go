package broker_test

import (
	"context"
	"net"
	"testing"

	"github.com/epic-swf/testbed/amq/broker"
)

// The end of Serve ends every client, also one that never said CONNECT.
func TestServeEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- broker.New(broker.Options{}).Serve(ctx, l) }()
	idle, silent := connected(t, l.Addr().String(), "1.2"), dial(t, l.Addr().String())
	idle.send("SUBSCRIBE\nid:1\ndestination:/queue/q\n\n")
	idle.send("SEND\ndestination:/queue/q\nreceipt:r\n\nx")
	idle.want("MESSAGE", "x")
	idle.want("RECEIPT")
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	idle.gone()
	silent.gone()
}

// A listener that fails ends Serve with its error.
func TestServeFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- broker.New(broker.Options{}).Serve(t.Context(), l) }()
	c := connected(t, l.Addr().String(), "1.2")
	l.Close()
	if err := <-done; err == nil {
		t.Error("no error")
	}
	c.gone()
}
