package manager

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// wire is somebody who may log in to the broker of a bench and knows STOMP.
type wire struct {
	b    *bench
	conn *amq.Conn
}

func (b *bench) wire() *wire {
	conn := amq.New(b.broker)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = conn.Run(ctx) })
	b.t.Cleanup(func() { cancel(); wg.Wait() })
	return &wire{b, conn}
}

func (w *wire) send(queue, signature string, body []byte) {
	w.b.t.Helper()
	m := amq.Message{Destination: queue, Body: body}
	if signature != "" {
		m.Headers = map[string]string{control.SignatureHeader: signature}
	}
	if err := w.conn.Publish(context.Background(), m); err != nil {
		w.b.t.Fatal(err)
	}
}

// tap hears what is sent to a queue.
func (w *wire) tap(queue string) <-chan string {
	heard := make(chan string, 100)
	sub := w.conn.Subscribe(queue, amq.SubscribeOptions{AutoAck: true, Prefetch: 100}, func(_ context.Context, d *amq.Delivery) { heard <- string(d.Body) })
	<-sub.Ready()
	return heard
}

// command makes the bytes of a command of ann.
func command(t *testing.T, cmd control.Command) (control.Command, []byte) {
	t.Helper()
	if cmd.Username == "" {
		cmd.Username, cmd.IssuedBy = "ann", "ann"
	}
	cmd.Complete(time.Now())
	body, err := cmd.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return cmd, body
}

// idle wants nothing to run. What was sent before on the control queue has been
// dealt with when it is answered.
func (b *bench) idle(what string) {
	b.t.Helper()
	b.want(b.ask(control.Command{Verb: control.Status}), control.Succeeded, "")
	if left := b.alive(); len(left) > 0 {
		b.t.Errorf("%s: %v runs", what, left)
	}
}

// A signed command is caught and sent again: at once, after a restart of the
// manager, when its time is over, a day later, and on other queues.
func TestAttack21Replay(t *testing.T) {
	b := newBench(t)
	b.legacy = true
	m := b.manager()
	w := b.wire()
	start, body := command(t, control.Command{Verb: control.StartTestbed})
	sign := func(body []byte) string { return b.key.Sign(control.DomainCommand, body) }
	w.send(swf.ControlQueue("ann"), sign(body), body)
	r := b.ask(start) // the same bytes once more: one effect, and its outcome
	b.want(r, control.Succeeded, "")
	b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Succeeded, "")
	w.send(swf.ControlQueue("ann"), sign(body), body)
	b.idle("at once")
	m.leave(t)
	w.send(swf.ControlQueue("ann"), sign(body), body)
	b.manager()
	b.idle("after a restart")
	for name, issued := range map[string]time.Time{"a day later": time.Now().Add(-24 * time.Hour), "a week later": time.Now().Add(-8 * 24 * time.Hour), "a minute later": time.Now().Add(-61 * time.Second), "from the future": time.Now().Add(time.Hour)} {
		old := control.Command{Verb: control.StartTestbed, IssuedAt: issued} // one that this journal has forgotten
		_, body := command(t, old)
		w.send(swf.ControlQueue("ann"), sign(body), body)
		b.idle(name)
	}
	for _, queue := range []string{swf.LegacyControlQueue("ann"), swf.WorkflowQueue("ann"), swf.ControlQueue("bob"), swf.QueueLegacyWorkflow} {
		w.send(queue, sign(body), body)
	}
	gone, late := command(t, control.Command{Verb: control.StartTestbed, IssuedAt: time.Now().Add(-time.Hour)})
	w.send(swf.LegacyControlQueue("ann"), sign(late), late)
	b.python().awaitAlive() // what was sent before on that queue has been dealt with
	b.idle("on another queue " + gone.ID)
}

// Replies go to queues of their own form alone, whoever asks for what.
func TestAttack22ReplyTo(t *testing.T) {
	b := newBench(t)
	b.manager()
	w := b.wire()
	secret := strings.Repeat("ab", 16)
	good := w.tap(swf.ReplyQueue("mcp", secret))
	var victims []<-chan string
	for _, queue := range []string{swf.ControlQueue("bob"), swf.LegacyControlQueue("bob"), swf.WorkflowQueue("ann"), swf.QueueLegacyWorkflow, "/topic/epictopic",
		"/queue/testbed.replies.x", swf.ReplyPrefix + "bob." + secret + ".x", "/topic/testbed.ann.managers"} {
		victims = append(victims, w.tap(queue))
		_, body := command(t, control.Command{Verb: control.Status, ReplyTo: queue})
		w.send(swf.ControlQueue("ann"), b.key.Sign(control.DomainCommand, body), body)
		w.send(swf.ControlQueue("ann"), "", body) // and the notice of a refusal
	}
	for _, to := range []string{"", "*", ">", swf.ReplyPrefix + "*", swf.ReplyQueue("mcp", secret) + ",/queue/x", swf.ReplyQueue("mcp", secret) + "?a=b", "/queue/a\nx:y", strings.Repeat("x", 9000)} {
		_, body := command(t, control.Command{Verb: control.Ping, ReplyTo: to})
		w.send(swf.ControlQueue("ann"), b.key.Sign(control.DomainCommand, body), body)
	}
	_, body := command(t, control.Command{Verb: control.Ping, ReplyTo: swf.ReplyQueue("mcp", secret)})
	w.send(swf.ControlQueue("ann"), b.key.Sign(control.DomainCommand, body), body)
	select {
	case <-good:
	case <-time.After(40 * time.Second):
		t.Fatal("no reply where it may go")
	}
	for i, v := range victims {
		select {
		case said := <-v:
			if !strings.Contains(said, `"tenure"`) { // the manager's own announcement
				t.Errorf("victim %d heard %s", i, said)
			}
		default:
		}
	}
}

// Poison on the control queue is dropped on the record, and the next command is
// taken; what is too large for the broker costs its sender the connection.
func TestAttack24Poison(t *testing.T) {
	b := newBench(t)
	b.manager()
	w := b.wire()
	deep := strings.Repeat("[", 60_000)
	for name, body := range poison(deep) {
		raw := []byte(body)
		w.send(swf.ControlQueue("ann"), "", raw)
		w.send(swf.ControlQueue("ann"), b.key.Sign(control.DomainCommand, raw), raw) // by a sender who should know better
		w.send(swf.ControlQueue("ann"), strings.Repeat("x;", 500), raw)
		b.idle(name)
	}
}

func poison(deep string) map[string]string {
	return map[string]string{
		"empty": "", "not JSON": "rm -rf /", "list": "[]", "null": "null", "number": "1e999", "types": `{"command":1,"username":[],"issued_at":{}}`,
		"verb": `{"command":"format_disk","username":"ann","command_id":"a"}`, "deep": deep, "deep params": `{"command":"start_testbed","username":"ann","command_id":"p","params":` + deep,
		"binary": "\xff\xfe{}", "twice": `{"command":"ping"}{"command":"start_testbed"}`, "long": `{"command":"` + strings.Repeat("x", 120_000) + `"}`,
		"time":           `{"command":"start_testbed","username":"ann","command_id":"t","issued_at":"2099-01-01T00:00:00Z","expires_at":"0001-01-01T00:00:00Z"}`,
		"over the limit": `{"command":"start_testbed","username":"ann","command_id":"o","x":"` + strings.Repeat("x", control.MaxBody) + `"}`,
	}
}

// A pid in a message is never signalled, and heartbeats of whoever on the bus
// make nobody leave. (The monitor refuses those by their token.)
func TestAttack25PidsOfMessages(t *testing.T) {
	b := newBench(t)
	b.manager()
	b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
	pids := func() string {
		var list []int
		for _, p := range b.want(b.ask(control.Command{Verb: control.Status}), control.Succeeded, "").Programs {
			list = append(list, p.PID)
		}
		return fmt.Sprint(list)
	}
	before := pids()
	w := b.wire()
	for _, queue := range []string{swf.ControlQueue("ann"), swf.LegacyControlQueue("ann"), swf.WorkflowQueue("ann"), "/topic/epictopic", "/topic/testbed.ann.managers"} {
		for _, body := range []string{
			fmt.Sprintf(`{"command":"stop_testbed","username":"ann","command_id":"x","pid":%d,"instance_name":"agent-manager-ann","status":"EXITED"}`, os.Getpid()),
			fmt.Sprintf(`{"msg_type":"heartbeat","instance_name":"agent-manager-ann","agent_type":"agent_manager","pid":%d,"hostname":"evil","timestamp":"2099-01-01T00:00:00Z"}`, os.Getpid()),
			fmt.Sprintf(`{"tenure":"00000000-0000-7000-8000-000000000000","instance":"x","host":"evil","username":"ann","pid":%d}`, os.Getpid()),
		} {
			w.send(queue, "", []byte(body))
			w.send(queue, control.NewKey().Sign(control.DomainAnnounce, []byte(body)), []byte(body))
		}
	}
	if after := pids(); after != before {
		t.Errorf("%s became %s", before, after)
	}
}
