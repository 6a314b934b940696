package manager

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// pythonSender is a peer that speaks as the Python system does: unsigned, no
// id, replies to a queue of its own.
type pythonSender struct {
	b       *bench
	conn    *amq.Conn
	replies chan map[string]any
}

func (b *bench) python() *pythonSender {
	b.t.Helper()
	p := &pythonSender{b: b, conn: amq.New(b.broker), replies: make(chan map[string]any, 16)}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.conn.Run(ctx) })
	b.t.Cleanup(func() { cancel(); wg.Wait() })
	p.conn.Subscribe("/queue/replies", amq.SubscribeOptions{AutoAck: true}, func(_ context.Context, d *amq.Delivery) {
		var m map[string]any
		if json.Unmarshal(d.Body, &m) == nil {
			p.replies <- m
		}
	})
	return p
}

func (p *pythonSender) send(body string) {
	p.b.t.Helper()
	if err := p.conn.Publish(context.Background(), amq.Message{Destination: swf.LegacyControlQueue("ann"), Body: []byte(body)}); err != nil {
		p.b.t.Fatal(err)
	}
}

// ask repeats a ping until the manager answers: before its nonce is through,
// it refuses everything.
func (p *pythonSender) awaitAlive() {
	p.b.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		p.send(`{"command":"ping","reply_to":"/queue/replies"}`)
		select {
		case r := <-p.replies:
			if r["status"] != "alive" || r["username"] != "ann" {
				p.b.t.Fatalf("pong: %v", r)
			}
			return
		case <-tick.C:
		}
	}
}

func (p *pythonSender) status() map[string]any {
	p.b.t.Helper()
	for {
		p.send(`{"command":"status","reply_to":"/queue/replies"}`)
		r := <-p.replies
		if _, isStatus := r["supervisord_status"]; isStatus {
			return r
		}
	}
}

func TestPythonSenders(t *testing.T) {
	b := newBench(t)
	b.legacy = true
	p := b.python()
	// Queued before the manager came: nobody knows when. It must not run.
	p.send(`{"command":"start_testbed","timestamp":"2020-01-01T00:00:00","source":"mcp"}`)
	b.manager()
	p.awaitAlive()
	if s := p.status(); s["agents_running"] != false {
		t.Fatalf("a stale start has run: %v", s)
	}
	// A naive stamp four hours off proves nothing against a live command.
	start := `{"command":"start_testbed","config_name":"testbed.toml","timestamp":"2020-01-01T04:00:00","source":"mcp"}`
	p.send(start)
	var first map[string]any
	for first = p.status(); first["agents_running"] != true || strings.Count(first["supervisord_status"].(string), "RUNNING") < 2; first = p.status() {
	}
	s := b.ask(control.Command{Verb: control.Status})
	pid := s.Programs[1].PID
	p.send(`{"command":"stop_testbed","timestamp":"2020-01-01T04:00:01"}`)
	for r := p.status(); r["agents_running"] != false; r = p.status() {
	}
	p.send(start) // the same bytes: the same command, which has had its effect
	p.send(`{"command":"bogus"}`)
	p.send(`[]`)
	p.send(`{"command":"start_testbed","config_name":"../../etc/passwd"}`)
	if r := p.status(); r["agents_running"] != false {
		t.Errorf("one command had two effects (pid %d before): %v", pid, r)
	}
}

func TestAttack22PythonRepliesGoNowhereOurs(t *testing.T) {
	for destination, want := range map[string]bool{
		"/queue/replies": true, "/topic/x": true, "": false, "replies": false,
		"/queue/testbed.bob.control": false, "/queue/testbed.replies.x": false, "/topic/testbed.ann.managers": false,
		"/queue/agent_control.bob": false, "/queue/workflow_control": false,
	} {
		if got := replyable(destination); got != want {
			t.Errorf("%q: %v", destination, got)
		}
	}
}
