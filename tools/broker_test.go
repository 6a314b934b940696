package tools

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// tinyManager is the least that can be called a manager: on a real broker it
// answers pings, looks and commands, signed.
type tinyManager struct {
	conn *amq.Conn
	key  control.Key

	mu       sync.Mutex
	done     map[string]control.Reply
	hold     bool   // accept, but finish nothing
	held     string // the id
	received int
}

func (m *tinyManager) handle(ctx context.Context, d *amq.Delivery) {
	_ = d.Ack()
	if m.key.Verify(control.DomainCommand, d.Headers[control.SignatureHeader], d.Body) != nil {
		return
	}
	cmd, err := control.DecodeCommand(d.Body)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	pong := &control.Pong{Protocol: control.Protocol, Username: cmd.Username, Host: "node1", PID: 1, Now: time.Now(), State: swf.TestbedStopped, Supervisor: "stopped"}
	r := control.Reply{CommandID: cmd.ID, Kind: control.Final, Outcome: control.Succeeded, Pong: pong}
	switch {
	case cmd.Verb.Effect():
		m.received++
		m.tell(ctx, cmd, control.Reply{CommandID: cmd.ID, Kind: control.Accepted})
		m.tell(ctx, cmd, control.Reply{CommandID: cmd.ID, Kind: control.Progress, Message: "1 of 2 agents running"})
		if m.hold {
			m.held = cmd.ID
			return
		}
		r.Pong, r.Message = nil, "2 of 2 programs are RUNNING"
		m.done[cmd.ID] = r
	case cmd.Of != nil:
		of, ok := m.done[cmd.Of.CommandID]
		if !ok {
			of = control.Reply{CommandID: cmd.Of.CommandID, Kind: control.Final, Outcome: control.Pending}
			if cmd.Of.CommandID != m.held {
				of.Error = swf.E(swf.CodeUnknownID, "no such command has reached this manager", "ask again")
			}
		}
		r.Of = &of
	}
	m.tell(ctx, cmd, r)
}

func (m *tinyManager) tell(ctx context.Context, cmd control.Command, r control.Reply) {
	body, err := r.Encode()
	if err != nil {
		return
	}
	_ = m.conn.Publish(ctx, amq.Message{Destination: cmd.ReplyTo, Body: body,
		Headers: map[string]string{control.SignatureHeader: m.key.Sign(control.DomainReply, body)}})
}

// finish gives everything that was held its outcome.
func (m *tinyManager) finish(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done[id] = control.Reply{CommandID: id, Kind: control.Final, Outcome: control.Succeeded, Message: "finished late"}
}

// onBroker runs a broker, a manager of ann and a Set that commands her.
func onBroker(t *testing.T, o Options) (*Set, *tinyManager) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { _ = broker.New(broker.Options{}).Serve(ctx, l) })
	connect := func(id string) *amq.Conn {
		c := amq.New(amq.Options{Addr: l.Addr().String(), ClientID: id, Log: slog.New(slog.DiscardHandler)})
		wg.Go(func() { _ = c.Run(ctx) })
		return c
	}
	key := control.NewKey()
	m := &tinyManager{conn: connect("manager"), key: key, done: map[string]control.Reply{}}
	sub := m.conn.Subscribe(swf.ControlQueue("ann"), amq.SubscribeOptions{}, m.handle)
	client := control.NewClient(control.ClientOptions{Bus: connect("mcp"), Keys: func(string) control.Ring { return key.Ring() }, Source: "mcp"})
	t.Cleanup(client.Close)
	select {
	case <-sub.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("the manager was never subscribed")
	}
	o.Commander = client
	return New(o), m
}

func TestOverARealBroker(t *testing.T) {
	s, m := onBroker(t, Options{Monitor: &records{}})
	var told []string
	r := call(t, s, ann, "start_user_testbed", `{"command_id":"first"}`, func(p string) { told = append(told, p) })
	out := r.Value.(*StartOut)
	if !out.Success || out.CommandID != control.KeyedID("ann", "ann", "first") {
		t.Fatalf("start: %s", r.Text)
	}
	if strings.Join(told, "; ") != "the agent manager has accepted the command; 1 of 2 agents running" {
		t.Errorf("progress: %q", told)
	}
	status := call(t, s, ann, "get_testbed_status", `{"command_id":"first"}`, nil).Value.(*StatusOut)
	if status.Command == nil || status.Command.Outcome != control.Succeeded || !*status.Manager.Alive || status.State != swf.TestbedStopped || status.Programs == nil {
		t.Errorf("status: %+v %+v", status, status.Command)
	}
	if out := call(t, s, ops, "check_agent_manager", `{"username":"bob"}`, nil).Value.(*CheckOut); *out.Alive || out.HowToStart == "" {
		t.Errorf("bob has no manager: %+v", out)
	}
	if m.received != 1 {
		t.Errorf("%d commands arrived", m.received)
	}
}

func TestPendingThenTheTruthOverARealBroker(t *testing.T) {
	s, m := onBroker(t, Options{Monitor: &records{}})
	m.hold = true
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	out := s.StopUserTestbed(ctx, ann, StopIn{}, func(told string) {
		if strings.Contains(told, "accepted") {
			hangUp()
		}
	})
	if out.Outcome != control.Pending || !strings.Contains(out.Note, "has accepted") {
		t.Fatalf("%+v", out)
	}
	look := func() *CommandView {
		args, _ := json.Marshal(map[string]string{"command_id": out.CommandID})
		return call(t, s, ann, "get_testbed_status", string(args), nil).Value.(*StatusOut).Command
	}
	if v := look(); v.Outcome != control.Pending {
		t.Errorf("before: %+v", v)
	}
	m.finish(out.CommandID)
	if v := look(); v.Outcome != control.Succeeded || v.Message != "finished late" {
		t.Errorf("after: %+v", v)
	}
}
