package manager

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// pythonSender is a peer that speaks as the Python system does: unsigned, no
// id, replies to a queue of its own.
type pythonSender struct {
	b    *bench
	conn *amq.Conn
}

func (b *bench) python() *pythonSender {
	b.t.Helper()
	return &pythonSender{b: b, conn: b.wire().conn}
}

func (p *pythonSender) send(body string) {
	p.b.t.Helper()
	if err := p.conn.Publish(context.Background(), amq.Message{Destination: swf.LegacyControlQueue("ann"), Body: []byte(body)}); err != nil {
		p.b.t.Fatal(err)
	}
}

// ask repeats a look until the manager answers: before its nonce is through,
// or with too many looks under way, it answers none. Each has a queue of its
// own, so that no answer is of before it was asked.
func (p *pythonSender) ask(command string) map[string]any {
	p.b.t.Helper()
	queue := "/queue/replies." + control.NewID()
	replies := make(chan map[string]any, 1)
	sub := p.conn.Subscribe(queue, amq.SubscribeOptions{AutoAck: true}, func(_ context.Context, d *amq.Delivery) {
		var m map[string]any
		if json.Unmarshal(d.Body, &m) != nil {
			return
		}
		select {
		case replies <- m:
		default: // the answer to a repetition
		}
	})
	defer sub.Close()
	late := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		p.send(fmt.Sprintf(`{"command":%q,"reply_to":%q}`, command, queue))
		select {
		case r := <-replies:
			return r
		case <-tick.C:
		case <-late:
			p.b.t.Fatalf("no answer to %s", command)
		}
	}
}

func (p *pythonSender) awaitAlive() {
	p.b.t.Helper()
	if r := p.ask("ping"); r["status"] != "alive" || r["username"] != "ann" {
		p.b.t.Fatalf("pong: %v", r)
	}
}

func (p *pythonSender) status() map[string]any {
	p.b.t.Helper()
	r := p.ask("status")
	if _, isStatus := r["supervisord_status"]; !isStatus {
		p.b.t.Fatalf("status: %v", r)
	}
	return r
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
