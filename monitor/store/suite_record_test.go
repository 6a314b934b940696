package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epic-swf/testbed/monitor/store"
)

// recording is the part of the suite about lists that are searched and
// messages that are recorded.
func recording() []suiteTest {
	return []suiteTest{
		{"conditions", testConditions},
		{"orders", testOrders},
		{"messages are recorded once", testRecordOnce},
		{"runs move by the order of their messages", testRunSteps},
		{"a batch is whole or nothing", testRecordWhole},
		{"recorders at once", testRecorders},
		{"references by name", testSlugs},
		{"retention", testRetention},
		{"histogram", testHistogram},
		{"messages are bounded", testMessagesBounded},
	}
}

func message(id, kind string, at time.Time) store.Record {
	return store.Record{"message_id": id, "message_type": kind, "message_content": json.RawMessage(`{"id":"` + id + `"}`), "sent_at": at, "execution_id": nil}
}

func record(t *testing.T, s *store.Store, batch ...store.Heard) []bool {
	t.Helper()
	fresh, err := s.Record(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

func ids(page store.Page, key string) []string {
	found := []string{}
	for _, r := range page.Records {
		found = append(found, fmt.Sprint(r[key]))
	}
	return found
}

func testConditions(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	for n, text := range []string{"a 100% B", "a_b", `back\slash`, "It's"} {
		m := message(fmt.Sprint(n), text, noon.Add(time.Duration(n)*time.Second))
		record(t, s, store.Heard{Message: m})
	}
	contains := func(text string) store.Condition {
		return store.Condition{Column: "message_type", Is: store.Contains, Value: text}
	}
	for _, c := range []struct {
		where []store.Condition
		want  []string
	}{
		{[]store.Condition{{Column: "sent_at", Is: store.AtLeast, Value: noon.Add(2 * time.Second)}}, []string{"3", "2"}},
		{[]store.Condition{{Column: "sent_at", Is: store.Below, Value: noon.Add(time.Second)}}, []string{"0"}},
		{[]store.Condition{contains("A")}, []string{"2", "1", "0"}},
		{[]store.Condition{contains("%")}, []string{"0"}},
		{[]store.Condition{contains("_")}, []string{"1"}},
		{[]store.Condition{contains(`\`)}, []string{"2"}},
		{[]store.Condition{contains(`'`), contains("t")}, []string{"3"}},
		{[]store.Condition{{Column: "message_id", Is: store.In, Of: &store.Via{Table: store.Messages, Select: "message_id", Equal: map[string]any{"message_type": "a_b"}}}}, []string{"1"}},
	} {
		q := store.Query{Where: c.where, Limit: 9}
		page, err := s.List(t.Context(), store.Messages, q)
		if got := ids(page, "message_id"); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v %v", c.where, got, err)
		}
		if n, err := s.Count(t.Context(), store.Messages, q); n != int64(len(c.want)) || err != nil {
			t.Errorf("%+v: counted %d, %v", c.where, n, err)
		}
	}
	for _, bad := range []store.Condition{{Column: "1=1 --", Is: store.AtLeast}, {Column: "sent_at", Is: store.AtLeast, Value: "x"}, {Column: "sent_at"}} {
		if _, err := s.List(t.Context(), store.Messages, store.Query{Where: []store.Condition{bad}}); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// testOrders: the same in every database, also where there is no value or two
// are equal.
func testOrders(t *testing.T, open func(func() time.Time) *store.Store) {
	now := noon
	s := open(func() time.Time { return now })
	for _, name := range []string{"never", "early", "late"} {
		if name == "never" {
			if _, err := s.Insert(t.Context(), store.Agents, store.Record{"instance_name": name}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		now = now.Add(time.Second)
		beat(t, s, name, "READY")
	}
	page, err := s.List(t.Context(), store.Agents, store.Query{})
	if got := ids(page, "instance_name"); err != nil || !slices.Equal(got, []string{"late", "early", "never"}) {
		t.Errorf("agents %v, %v", got, err)
	}
	for _, id := range []string{"b", "B", "a", "-"} {
		record(t, s, store.Heard{Message: message(id, "t", noon)})
	}
	for oldest, want := range map[bool][]string{false: {"b", "a", "B", "-"}, true: {"-", "B", "a", "b"}} {
		page, err := s.List(t.Context(), store.Messages, store.Query{Oldest: oldest})
		if got := ids(page, "message_id"); err != nil || !slices.Equal(got, want) {
			t.Errorf("messages %v, %v", got, err)
		}
	}
}

func testRecordOnce(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	a, b, c := store.Heard{Message: message("a", "x", noon)}, store.Heard{Message: message("b", "x", noon)}, store.Heard{}
	for _, step := range []struct {
		batch []store.Heard
		want  []bool
	}{
		{nil, []bool{}}, {[]store.Heard{c}, []bool{false}},
		{[]store.Heard{a, c, a, b}, []bool{true, false, false, true}},
		{[]store.Heard{b, a}, []bool{false, false}},
	} {
		if got := record(t, s, step.batch...); !slices.Equal(got, step.want) {
			t.Errorf("%d messages: %v, want %v", len(step.batch), got, step.want)
		}
	}
	late := func(seq int64, status string) store.Heard {
		return store.Heard{Beat: &store.Beat{Instance: "bus", Seq: seq, Values: store.Record{"instance_name": "n", "status": status},
			New: store.Record{"agent_type": "Unknown"}}}
	}
	record(t, s, late(1, "OK"), late(3, "EXITED"), late(2, "OK"))
	agent, err := s.Get(t.Context(), store.Agents, "instance_name", "n")
	if err != nil || agent["status"] != "EXITED" || agent["agent_type"] != "Unknown" {
		t.Errorf("agent %v, %v", agent, err)
	}
}

func runStep(n int, rank int64, tick float64, set store.Record) store.Heard {
	return store.Heard{Message: message(fmt.Sprint("s", n), "t", noon),
		Step: &store.RunStep{Run: 100010, Rank: rank, Tick: tick, At: noon, Set: set, ExecutionID: "e"}}
}

func testRunSteps(t *testing.T, open func(func() time.Time) *store.Store) {
	steps := []store.Heard{
		runStep(0, 0, 5, store.Record{"state": "beam", "substate": "not_ready"}),
		runStep(1, 1, 13, store.Record{"state": "run", "substate": "physics", "phase": "physics"}),
		runStep(2, 2, 20, store.Record{"state": "run", "substate": "standby", "phase": "physics"}),
		runStep(3, 2, 23, store.Record{"state": "run", "substate": "physics", "phase": "physics"}),
		runStep(4, 3, 34, store.Record{"state": "ended", "substate": nil, "phase": "completed"}),
	}
	s := open(always(noon))
	var states []store.Record
	for n := range len(steps) {
		for _, backwards := range []bool{false, true} {
			if err := s.Delete(t.Context(), store.RunStates, int64(100010)); err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			}
			order := slices.Clone(steps[:n+1])
			if backwards {
				slices.Reverse(order)
			}
			for i, h := range order { // ids of their own: each time they are new
				h.Message = message(fmt.Sprint(n, backwards, i), "t", noon)
				record(t, s, h)
			}
			got, err := s.Get(t.Context(), store.RunStates, "run_number", int64(100010))
			if err != nil {
				t.Fatal(err)
			}
			states = append(states, got)
		}
		if diff := cmp.Diff(states[2*n], states[2*n+1]); diff != "" {
			t.Errorf("after %d messages, forwards and backwards: %s", n+1, diff)
		}
	}
	last := states[len(states)-1]
	if last["state"] != "ended" || last["substate"] != nil || last["phase"] != "completed" || string(last["metadata"].(json.RawMessage)) != `{"execution_id":"e"}` {
		t.Errorf("at the end: %v", last)
	}
	// What is posted over REST stays, until a message goes further; a run keeps
	// its execution.
	if err := s.Delete(t.Context(), store.RunStates, int64(100010)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Insert(t.Context(), store.RunStates, store.Record{"run_number": int64(100010), "phase": "p", "state": "running", "target_worker_count": int64(2),
		"state_changed_at": noon, "metadata": json.RawMessage(`{"execution_id":"mine","x":1}`)}); err != nil {
		t.Fatal(err)
	}
	record(t, s, steps[0])
	got, err := s.Get(t.Context(), store.RunStates, "run_number", int64(100010))
	if err != nil || got["state"] != "beam" || got["target_worker_count"] != int64(2) || string(got["metadata"].(json.RawMessage)) != `{"execution_id":"mine","x":1}` {
		t.Errorf("a run that is there: %v, %v", got, err)
	}
}

func testRecordWhole(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	bad := runStep(1, 0, 0, store.Record{"nonsense": "x"})
	if _, err := s.Record(t.Context(), []store.Heard{{Message: message("a", "t", noon)}, bad}); err == nil {
		t.Error("a column that is not there")
	}
	if n, err := s.Count(t.Context(), store.Messages, store.Query{}); n != 0 || err != nil {
		t.Errorf("%d messages of a batch that failed, %v", n, err)
	}
	short := message("b", "t", noon)
	delete(short, "execution_id")
	if _, err := s.Record(t.Context(), []store.Heard{{Message: message("a", "t", noon)}, {Message: short}}); err == nil {
		t.Error("records of different columns")
	}
}

// testRecorders: two monitors on one database that hear the same messages.
func testRecorders(t *testing.T, open func(func() time.Time) *store.Store) {
	stores := []*store.Store{open(always(noon)), open(always(noon))}
	var mu sync.Mutex
	counted := 0
	var wg sync.WaitGroup
	for _, s := range stores {
		wg.Go(func() {
			for n := range 20 {
				var batch []store.Heard
				for i := range 25 {
					h := runStep(i, 2, float64(n*25+i), store.Record{"state": fmt.Sprint(n*25 + i)})
					h.Message = message(fmt.Sprint(n, "-", i), "t", noon)
					batch = append(batch, h)
				}
				fresh, err := s.Record(t.Context(), batch)
				for errors.Is(err, store.ErrNotBegun) { // the other was at work for too long: a recorder tries again
					fresh, err = s.Record(t.Context(), batch)
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, f := range fresh {
					if f {
						counted++
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	n, err := stores[0].Count(t.Context(), store.Messages, store.Query{})
	if n != 500 || counted != 500 || err != nil {
		t.Errorf("%d messages, %d counted as new, %v", n, counted, err)
	}
	if r, err := stores[1].Get(t.Context(), store.RunStates, "run_number", int64(100010)); err != nil || r["state"] != "499" {
		t.Errorf("%v, %v", r["state"], err)
	}
}

// testSlugs: what refers by name follows a change of the name.
func testSlugs(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	for _, row := range rows() {
		if _, err := s.Insert(t.Context(), row.table, row.record); err != nil {
			t.Fatalf("%s: %v", row.table.Name, err)
		}
	}
	rename := func(store.Record) (store.Record, error) { return store.Record{"tf_filename": "other"}, nil }
	if _, err := s.Update(t.Context(), store.FastMonFiles, "t", rename); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Get(t.Context(), store.TFSlices, "fastmon_file", "other"); err != nil || r["slice_id"] != int64(0) {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := s.Insert(t.Context(), store.TFSlices, store.Record{"fastmon_file": "none", "slice_id": int64(0), "tf_first": int64(1), "tf_last": int64(2),
		"tf_count": int64(2), "run_number": int64(1)}); !errors.Is(err, store.ErrReference) {
		t.Errorf("a slice of no file: %v", err)
	}
}
