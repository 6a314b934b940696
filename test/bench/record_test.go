package bench

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/monitor/api"
	rec "github.com/epic-swf/testbed/monitor/recorder"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/test/postgres"
	"github.com/epic-swf/testbed/web"
)

// batch is how many messages the recorder writes at once.
const batch = 500

// recording is row 11.
func recording() *group {
	const floor = "bare batched INSERT of the same rows, same table, 500 a statement"
	g := &group{name: "recorder", rows: []*row{
		{of: "recorder: bus messages into SQLite", floor: floor, unit: perSecond, goal: ratioAtLeast(0.5)},
		{of: "recorder: bus messages into PostgreSQL", floor: floor, unit: perSecond, goal: ratioAtLeast(0.5)},
	}}
	for _, r := range g.rows {
		r.why = "each message is decoded and checked, its id made of what it says, and the rows that were there already are found by RETURNING; needs a decoder that reads only the head"
	}
	g.measure = func(t *testing.T, g *group) {
		file := filepath.Join(t.TempDir(), "floor.db")
		openStore(t, store.Options{Path: file}).Close()
		cluster := postgres.Start(t)
		dsn := cluster.Database(t)
		openStore(t, store.Options{DSN: swf.Secret(dsn)}).Close()
		pg, err := sql.Open("pgx", dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pg.Close() })
		lite, bare := inserter(t, sqlite(t, file), false), inserter(t, pg, true)
		liteRecorder := newRecorder(t, openStore(t, store.Options{Path: filepath.Join(t.TempDir(), "ours.db")}), nil)
		pgRecorder := newRecorder(t, openStore(t, store.Options{DSN: swf.Secret(cluster.Database(t))}), nil)
		batches := size(20)
		rate := func(f func(int), n int) float64 { return float64(n*batch) / timed(func() { f(n) }) }
		g.inTurn(t, 7, func() []float64 {
			return []float64{rate(lite, batches), rate(bare, batches)}
		}, func() []float64 { return []float64{rate(liteRecorder, batches), rate(pgRecorder, batches)} })
	}
	return g
}

func openStore(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// sqlite opens a file as the store does.
func sqlite(t testing.TB, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// bodies counts the messages, for no two are the same.
var bodies int

func stfGen() []byte {
	bodies++
	return fmt.Appendf(nil, `{"msg_type": "stf_gen", "namespace": "ns", "execution_id": "stf_datataking-ann-%04d", "run_id": "100010", "timestamp": "2026-11-23T12:00:00.000000", "simulation_tick": %d, "sender": "daq_simulator-agent-ann-1", "filename": "swf.100010.%06d.stf", "sequence": %d, "state": "run", "substate": "physics"}`, bodies/1000%10000, bodies, bodies, bodies)
}

// feed is a bus with one listener.
type feed struct {
	hear func(context.Context, *amq.Delivery)
	conn *amq.Conn // which is never run
}

// Subscribe implements recorder.Bus.
func (f *feed) Subscribe(destination string, o amq.SubscribeOptions, h func(context.Context, *amq.Delivery)) *amq.Subscription {
	defer func() { f.hear = h }()
	return f.conn.Subscribe(destination, o, h)
}

// newRecorder records so many batches, from body to row. plant, which may be
// nil, runs for each message.
func newRecorder(t testing.TB, s rec.Store, plant func()) func(batches int) {
	t.Helper()
	f := &feed{conn: amq.New(amq.Options{Addr: "127.0.0.1:1"})}
	subscribed := make(chan struct{})
	r := rec.New(rec.Options{Bus: subscribing{f, subscribed}, Store: s})
	background(t, r.Run)
	<-subscribed
	told := uint64(0)
	return func(batches int) {
		for range batches * batch {
			if plant != nil {
				plant()
			}
			f.hear(context.Background(), &amq.Delivery{Message: amq.Message{Destination: swf.TopicWorkflow, Body: stfGen()}})
			for told++; told-r.Stats().Recorded > 8*batch; {
				time.Sleep(1 * time.Millisecond)
			}
		}
		for r.Stats().Recorded < told {
			time.Sleep(1 * time.Millisecond)
		}
		if s := r.Stats(); s.Dropped+s.Malformed+s.Ignored+s.Refused+s.Repeated > 0 {
			t.Errorf("%+v", s)
		}
	}
}

// subscribing tells when the bus has its listener.
type subscribing struct {
	*feed
	done chan struct{}
}

// Subscribe implements recorder.Bus.
func (s subscribing) Subscribe(destination string, o amq.SubscribeOptions, h func(context.Context, *amq.Delivery)) *amq.Subscription {
	defer close(s.done)
	return s.feed.Subscribe(destination, o, h)
}

// inserter inserts the same rows with nothing around it. numbered is how
// PostgreSQL marks arguments; SQLite would look each number up by name.
func inserter(t testing.TB, db *sql.DB, numbered bool) func(batches int) {
	columns := []string{"message_id", "message_type", "sender_agent", "namespace", "execution_id", "run_id", "message_content", "message_metadata", "sent_at", "is_successful", "queue_name"}
	var marks []string
	for i := range batch {
		var one []string
		for k := range columns {
			mark := "?"
			if numbered {
				mark = fmt.Sprintf("$%d", i*len(columns)+k+1)
			}
			one = append(one, mark)
		}
		marks = append(marks, "("+strings.Join(one, ",")+")")
	}
	insert := "INSERT INTO workflow_messages (" + strings.Join(columns, ",") + ") VALUES " + strings.Join(marks, ",")
	return func(batches int) {
		for range batches {
			args := make([]any, 0, batch*len(columns))
			for range batch {
				body := stfGen()
				args = append(args, uuid.NewString(), "stf_gen", "daq_simulator-agent-ann-1", "ns", fmt.Sprintf("stf_datataking-ann-%04d", bodies/1000%10000), "100010",
					string(body), "{}", time.Now().UnixMicro(), 1, "epictopic")
			}
			if _, err := db.Exec(insert, args...); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// monitorURL is a monitor on SQLite.
func monitorURL(t testing.TB) string {
	t.Helper()
	s := openStore(t, store.Options{Path: filepath.Join(t.TempDir(), "monitor.db")})
	l, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	background(t, (&web.Server{Listener: l, Handler: api.New(api.Options{Store: s})}).Run)
	return "http://" + l.Addr().String()
}
