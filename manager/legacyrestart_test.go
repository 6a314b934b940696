package manager

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/control"
)

// A broker that was restarted numbers its messages from the beginning: a new
// command of a Python sender is not taken for the old one of that number.
func TestPythonSendersOverABrokerRestart(t *testing.T) {
	b := newBench(t)
	b.legacy = true
	b.broker.Addr = "127.0.0.1:0"
	kill := b.brief()
	p := b.python()
	b.manager()
	p.awaitAlive()
	running := func() {
		for p.status()["agents_running"] != true {
		}
	}
	p.send(`{"command":"start_testbed","timestamp":"2020-01-01T04:00:00"}`)
	running()
	b.want(<-b.local(control.Command{Verb: control.StopTestbed}, nil), control.Succeeded, "")
	kill()
	kill = b.brief()
	defer kill()
	p.awaitAlive()
	p.send(`{"command":"start_testbed","timestamp":"2020-01-01T04:00:09"}`)
	running()
	b.want(<-b.local(control.Command{Verb: control.StopTestbed}, nil), control.Succeeded, "")
}

// brief is a broker at b's address that can be ended.
func (b *bench) brief() (kill func()) {
	b.t.Helper()
	ln, err := net.Listen("tcp", b.broker.Addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.broker = amq.Options{Addr: ln.Addr().String(), BackoffMin: b.broker.BackoffMin, BackoffMax: b.broker.BackoffMax}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = broker.New(broker.Options{}).Serve(ctx, ln) })
	kill = sync.OnceFunc(func() { cancel(); wg.Wait() })
	b.t.Cleanup(kill)
	return kill
}
