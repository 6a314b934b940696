package bench

import (
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

const pings = 300

// roundTrip is row 3: what a ping costs beside its two messages.
func roundTrip() *group {
	const floor = "STOMP request and reply of the same sizes, same broker, same client"
	g := &group{name: "ping", rows: []*row{
		{of: "command round trip, p50: `ping` through the tool, the broker and the manager", floor: floor + ", p50", unit: seconds, goal: ratioAtMost(1.3)},
		{of: "the same, p99", floor: floor + ", p99", unit: seconds, goal: ratioAtMost(1.5)},
	}}
	const why = "the floor is bytes; here a call is checked, counted and put into words, two messages are signed and checked, and four JSON documents made and read by encoding/json, which is the largest part; " +
		"needs a codec of our own for the commands and replies that are looks"
	g.rows[0].why, g.rows[1].why = why, why
	g.measure = func(t *testing.T, g *group) {
		addr := embedded(t)
		client := newManager(t, addr)
		ping, check := checkTool(t, pinging{client}), checkTool(t, client)
		floor := bareRequest(t, addr, pongSize(t, client))
		stub := pythonStub(t, addr)
		percentiles := func(call func()) []float64 {
			took := make([]float64, size(pings))
			for i := range took {
				took[i] = timed(call)
			}
			return []float64{median(took), quantile(took, 0.99)}
		}
		g.inTurn(t, 7, func() []float64 { return percentiles(floor) }, func() []float64 {
			v := percentiles(ping)
			for i, p := range percentiles(check) {
				g.rows[i].rival("`check_agent_manager` as it is, which asks for a status and so looks for supervisord (here none runs)", p)
			}
			if stub != nil {
				for i, p := range percentiles(stub) {
					g.rows[i].rival("stub on stomp.py, unsigned, no tool", p)
				}
			}
			return v
		})
	}
	return g
}

// checkTool calls the tool check_agent_manager.
func checkTool(t testing.TB, c tools.Commander) func() {
	check := tools.New(tools.Options{Commander: c, Limits: tools.Limits{PerSecond: -1}}).Tools()[0]
	return func() {
		if r := check.Call(t.Context(), swf.Principal{Name: "ann"}, nil, nil); r.Failed || !strings.Contains(r.Text, "alive") {
			t.Error(r.Text)
		}
	}
}

// pinging has the manager pinged where a tool asks for its status.
type pinging struct{ *control.Client }

func (p pinging) Ask(ctx context.Context, c control.Command, progress func(control.Reply)) (control.Reply, error) {
	c.Verb = control.Ping
	return p.Client.Ask(ctx, c, progress)
}

// newManager is a manager of ann that takes commands, and who asks it.
func newManager(t testing.TB, addr string) *control.Client {
	t.Helper()
	dir, key := folder(t), control.NewKey()
	paths := config.Paths{Dir: dir, State: filepath.Join(dir, "s"), Config: filepath.Join(dir, "c")}
	if err := paths.Make(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	m := manager.New(manager.Options{Username: "ann", Paths: paths, Testbed: newSite(t, dir, nil).testbed(), Broker: amq.Options{Addr: addr},
		Keys: key.Ring, Settle: 50 * time.Millisecond, Ready: func() { close(ready) }})
	background(t, m.Run)
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatal("the manager is not ready")
	}
	client := control.NewClient(control.ClientOptions{Bus: bus(t, addr), Keys: func(string) control.Ring { return key.Ring() }, Source: "bench"})
	t.Cleanup(client.Close)
	return client
}

// pongSize is how many bytes a pong has on the wire, about.
func pongSize(t testing.TB, c *control.Client) int {
	t.Helper()
	pong, err := c.Ping(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(control.Reply{CommandID: control.NewID(), Kind: control.Final, Outcome: control.Succeeded, Pong: &pong})
	if err != nil {
		t.Fatal(err)
	}
	return len(text)
}

// pingSize is a ping on the wire, with its reply-to and times.
const pingSize = 420

// bareRequest asks somebody who answers so many bytes at once.
func bareRequest(t testing.TB, addr string, answer int) func() {
	t.Helper()
	client, server := bus(t, addr), bus(t, addr)
	body := []byte(strings.Repeat("x", answer))
	sub := server.Subscribe("/queue/testbed.floor.control", amq.SubscribeOptions{}, func(ctx context.Context, d *amq.Delivery) {
		_ = d.Ack()
		_ = server.Publish(ctx, amq.Message{Destination: d.Headers["reply-to"], Body: body, Headers: map[string]string{"correlation-id": d.Headers["correlation-id"]}})
	})
	<-sub.Ready()
	m := amq.Message{Destination: "/queue/testbed.floor.control", Body: []byte(strings.Repeat("x", pingSize)), Headers: map[string]string{"persistent": "true"}}
	return func() {
		if _, err := client.Request(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
}

// pythonStub asks the stub on stomp.py; nil where there is no Python for it.
func pythonStub(t testing.TB, addr string) func() {
	if python() == "" {
		return nil
	}
	host, port, _ := net.SplitHostPort(addr)
	spawn(t, nil, python(), filepath.Join("testdata", "manager_stub.py"), host, port, "/queue/testbed.stub.control")
	client := bus(t, addr)
	body, _ := json.Marshal(map[string]string{"command": "ping", "command_id": control.NewID(), "username": "stub", "reply_to": client.ReplyQueue()})
	m := amq.Message{Destination: "/queue/testbed.stub.control", Body: body}
	return func() {
		if _, err := client.Request(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
}
