package recorder_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/monitor/recorder"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/test/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits that only a broken program lets run out.
const patience = 90 * time.Second

// during runs f until the test ends, which must then end too.
func during(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("it does not end")
		}
	})
}

// newBus is a real broker with a connection to it.
func newBus(t *testing.T) *amq.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	during(t, func(ctx context.Context) error { return broker.New(broker.Options{}).Serve(ctx, l) })
	bus := amq.New(amq.Options{Addr: l.Addr().String()})
	during(t, bus.Run)
	return bus
}

func sqliteStore(t *testing.T) *store.Store {
	t.Helper()
	return openStore(t, store.Options{Path: filepath.Join(t.TempDir(), "monitor.db")})
}

func openStore(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// desk is a recorder at work, and somebody who talks.
type desk struct {
	t        *testing.T
	bus      *amq.Conn
	recorder *recorder.Recorder
	ready    chan struct{}
}

// subscribed lets a test wait for the subscription that the recorder makes.
type subscribed struct {
	*amq.Conn
	ready chan struct{}
}

func (s subscribed) Subscribe(to string, o amq.SubscribeOptions, h func(context.Context, *amq.Delivery)) *amq.Subscription {
	o.OnSubscribed = sync.OnceFunc(func() { close(s.ready) })
	return s.Conn.Subscribe(to, o, h)
}

func newDesk(t *testing.T, o recorder.Options) *desk {
	t.Helper()
	d := &desk{t: t, bus: newBus(t), ready: make(chan struct{})}
	o.Bus = subscribed{d.bus, d.ready}
	d.recorder = recorder.New(o)
	during(t, d.recorder.Run)
	d.wait(d.ready, "the subscription")
	// SUBSCRIBE and SEND travel on two connections: wait until one is heard.
	for d.recorder.Stats().Received == 0 {
		d.publish([]byte(`"are you there"`))
		time.Sleep(10 * time.Millisecond)
	}
	return d
}

func (d *desk) wait(c <-chan struct{}, what string) {
	d.t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		d.t.Fatalf("no sign of %s", what)
	}
}

func (d *desk) publish(bodies ...[]byte) {
	d.t.Helper()
	for _, body := range bodies {
		if err := d.bus.Publish(d.t.Context(), amq.Message{Destination: swf.TopicWorkflow, Body: body}); err != nil {
			d.t.Fatal(err)
		}
	}
}

// settled publishes bodies and waits until all have been dealt with.
func (d *desk) settled(bodies ...[]byte) recorder.Stats {
	d.t.Helper()
	before := dealt(d.recorder.Stats())
	d.publish(bodies...)
	deadline := time.Now().Add(patience)
	for {
		s := d.recorder.Stats()
		if dealt(s)-before >= uint64(len(bodies)) {
			return s
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%d messages, dealt with: %+v", len(bodies), s)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func dealt(s recorder.Stats) uint64 {
	return s.Recorded + s.Repeated + s.Ignored + s.Dropped + s.Refused
}

// stream is what a run says, in order.
func stream(run int, stfs int) [][]byte {
	var bodies [][]byte
	tick := 5.0
	say := func(kind string, more map[string]any) {
		m := map[string]any{"msg_type": kind, "namespace": "ns", "execution_id": "stf_datataking-ann-0001", "run_id": fmt.Sprint(run),
			"timestamp": fmt.Sprintf("2026-11-23T12:00:%09.6f", tick), "simulation_tick": tick, "sender": "daq_simulator-agent-ann-1"}
		for name, value := range more {
			m[name] = value
		}
		body, _ := json.Marshal(m)
		bodies = append(bodies, body)
		tick += 0.5
	}
	say("run_imminent", map[string]any{"state": "beam", "substate": "not_ready"})
	say("start_run", map[string]any{"state": "run", "substate": "physics"})
	for n := range stfs {
		say("stf_gen", map[string]any{"filename": fmt.Sprintf("swf.%d.%06d.stf", run, n), "sequence": n})
	}
	say("pause_run", map[string]any{"state": "run", "substate": "standby"})
	say("resume_run", map[string]any{"state": "run", "substate": "physics"})
	say("end_run", map[string]any{"total_stf_files": stfs})
	return bodies
}

// state is everything that a replay must not change.
func state(t *testing.T, s *store.Store) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, table := range []*store.Table{store.Messages, store.RunStates} {
		n, err := s.Count(t.Context(), table, store.Query{})
		if err != nil {
			t.Fatal(err)
		}
		out[table.Name] = n
	}
	page, err := s.List(t.Context(), store.RunStates, store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page.Records {
		delete(r, "state_changed_at")
		delete(r, "created_at")
		delete(r, "updated_at")
		r["metadata"] = string(r["metadata"].(json.RawMessage))
		out[fmt.Sprint("run ", r["run_number"])] = map[string]any(r)
	}
	return out
}

// TestReplay: the stream again, backwards, and backwards from the beginning,
// leaves the same counts and states, over both databases.
func TestReplay(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { testReplay(t, sqliteStore) })
	t.Run("postgres", func(t *testing.T) {
		cluster := postgres.Start(t)
		testReplay(t, func(t *testing.T) *store.Store {
			return openStore(t, store.Options{DSN: swf.Secret(cluster.Database(t))})
		})
	})
}

func testReplay(t *testing.T, fresh func(*testing.T) *store.Store) {
	bodies := append(stream(100010, 20), stream(100011, 3)...)
	bodies = bodies[:len(bodies)-2] // the second run is in standby
	var want map[string]any
	for _, backwards := range []bool{false, true} {
		s := fresh(t)
		d := newDesk(t, recorder.Options{Store: s})
		told := slices.Clone(bodies)
		if backwards {
			slices.Reverse(told)
		}
		d.settled(told...)
		got := state(t, s)
		if want == nil {
			want = got
			if want["workflow_messages"] != int64(len(bodies)) {
				t.Fatalf("%v messages of %d", want["workflow_messages"], len(bodies))
			}
			paused := want["run 100011"].(map[string]any)
			if paused["substate"] != "standby" || want["run 100010"].(map[string]any)["state"] != "ended" {
				t.Errorf("states: %v", want)
			}
		}
		d.settled(told...)
		slices.Reverse(told)
		stats := d.settled(told...)
		if diff := cmp.Diff(want, state(t, s)); diff != "" {
			t.Errorf("backwards %v: %s", backwards, diff)
		}
		if stats.Recorded != uint64(len(bodies)) || stats.Repeated != uint64(2*len(bodies)) || stats.Dropped != 0 {
			t.Errorf("%+v", stats)
		}
	}
}

// TestRecord: the row of a message, heartbeats, and what is neither.
func TestRecord(t *testing.T) {
	s := sqliteStore(t)
	var heard atomic.Pointer[json.RawMessage]
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	d := newDesk(t, recorder.Options{Store: s, Heard: func(m json.RawMessage) { heard.Store(&m) }, Now: func() time.Time { return at }})
	body := `{"msg_type": "slice", "sender": "fast", "recipient": "w", "namespace": null, "execution_id": "e", "run_id": 7, "n": 12345678901234567890, "text": "ü\u0000"}`
	d.settled([]byte(body), []byte(`{"hello":1}`))
	page, err := s.List(t.Context(), store.Messages, store.Query{})
	if err != nil || len(page.Records) != 1 {
		t.Fatalf("%v, %v", page, err)
	}
	r := page.Records[0]
	for column, want := range map[string]any{"message_type": "slice", "sender_agent": "fast", "recipient_agent": "w", "namespace": nil, "execution_id": "e",
		"run_id": "7", "queue_name": "epictopic", "is_successful": true, "sent_at": at, "message_content": json.RawMessage(body)} {
		if diff := cmp.Diff(want, r[column]); diff != "" {
			t.Errorf("%s: %s", column, diff)
		}
	}
	want := `{"execution_id":"e","msg_type":"slice","n":12345678901234567890,"namespace":null,"queue_name":"epictopic","recipient":"w","recipient_agent":"w","run_id":7,"sender":"fast","sender_agent":"fast","sent_at":"2026-11-23T12:00:00.000000Z","text":"ü\u0000"}`
	if got := heard.Load(); got == nil || string(*got) != want {
		t.Errorf("heard %s\nwant  %s", *got, want)
	}

	beat := `{"agent_name":"data-1","status":"%s","timestamp":"2026-11-23T12:00:%02d"}`
	d.settled(fmt.Appendf(nil, `{"agent_name":"","status":"OK"}`)) // ignored: whoever has no name
	d.publish(fmt.Appendf(nil, beat, "EXITED", 9), fmt.Appendf(nil, beat, "OK", 5))
	d.settled(stream(1, 0)[0]) // behind them
	agent, err := s.Get(t.Context(), store.Agents, "instance_name", "data-1")
	if err != nil || agent["status"] != "EXITED" || agent["agent_type"] != "Unknown" || agent["workflow_enabled"] != true {
		t.Errorf("agent %v, %v", agent, err)
	}
	d.publish([]byte("no JSON"), []byte("\xff"), []byte(`{"msg_type":5}`))
	if got := d.settled(stream(2, 0)[0]); got.Malformed < 2 {
		t.Errorf("%+v", got)
	}
}

// faulty is a store that can be away, or that will not have some messages.
type faulty struct {
	*store.Store
	away   atomic.Bool
	busy   atomic.Int64 // so many batches find others at work
	refuse string
}

func (f *faulty) Record(ctx context.Context, batch []store.Heard) ([]bool, error) {
	if f.away.Load() {
		return nil, errors.New("away")
	}
	if f.busy.Add(-1) >= 0 {
		return nil, fmt.Errorf("%w: database is locked", store.ErrNotBegun)
	}
	for _, h := range batch {
		if h.Message["message_type"] == f.refuse {
			return nil, errors.New("refused")
		}
	}
	return f.Store.Record(ctx, batch)
}

func (f *faulty) Count(ctx context.Context, t *store.Table, q store.Query) (int64, error) {
	if f.away.Load() {
		return 0, errors.New("away")
	}
	return f.Store.Count(ctx, t, q)
}

// TestStoreAway: what is heard while the store is away is recorded when it is
// back.
func TestStoreAway(t *testing.T) {
	f := &faulty{Store: sqliteStore(t)}
	d := newDesk(t, recorder.Options{Store: f})
	f.away.Store(true)
	bodies := stream(1, 50)
	d.publish(bodies...)
	for d.recorder.Stats().Received < uint64(len(bodies)) {
		time.Sleep(5 * time.Millisecond)
	}
	if s := d.recorder.Stats(); s.Recorded != 0 || s.Dropped != 0 {
		t.Errorf("while it is away: %+v", s)
	}
	f.away.Store(false)
	if s := d.settled(stream(2, 1)...); s.Dropped != 0 || s.Refused != 0 {
		t.Errorf("when it is back: %+v", s)
	}
	for d.recorder.Stats().Recorded < uint64(len(bodies)+6) {
		time.Sleep(5 * time.Millisecond)
	}
}

// TestStoreBusy: a store that answers and that others keep at work refuses
// nothing.
func TestStoreBusy(t *testing.T) {
	f := &faulty{Store: sqliteStore(t)}
	d := newDesk(t, recorder.Options{Store: f})
	f.busy.Store(4)
	if s := d.settled(stream(1, 0)[0]); s.Recorded != 1 || s.Refused != 0 {
		t.Errorf("%+v", s)
	}
}

// TestRefused: a message that the store will not have costs no other.
func TestRefused(t *testing.T) {
	f := &faulty{Store: sqliteStore(t), refuse: "poison"}
	d := newDesk(t, recorder.Options{Store: f})
	s := d.settled(append(stream(1, 3), []byte(`{"msg_type":"poison"}`))...)
	if s.Recorded != 8 || s.Refused != 1 {
		t.Errorf("%+v", s)
	}
}

// TestOverflow: with the store away for good, the queue stays bounded, the
// loss is counted, and the end is not held up.
func TestOverflow(t *testing.T) {
	f := &faulty{Store: sqliteStore(t)}
	d := newDesk(t, recorder.Options{Store: f})
	f.away.Store(true)
	body := fmt.Appendf(nil, `{"msg_type":"x","pad":"%0100000d"}`, 0)
	const told = 300 // 30 MB; 16 MiB wait and up to 4 more are at the store
	for range told {
		d.publish(body)
	}
	deadline := time.Now().Add(patience)
	for d.recorder.Stats().Received < told && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if s := d.recorder.Stats(); s.Dropped < 50 {
		t.Errorf("%+v", s)
	}
}

func TestWrongTopic(t *testing.T) {
	r := recorder.New(recorder.Options{Bus: newBus(t), Store: sqliteStore(t), Topic: "/queue/*"})
	if err := r.Run(t.Context()); !swf.IsCode(err, swf.CodeEnvironment) {
		t.Errorf("%v", err)
	}
}
