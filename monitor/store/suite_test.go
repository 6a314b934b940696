package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

type suiteTest struct {
	name string
	test func(t *testing.T, open func(func() time.Time) *store.Store)
}

// suite is what every back-end must do. fresh makes an empty database and
// returns what opens it, again and again.
func suite(t *testing.T, fresh func(t *testing.T) (open func(now func() time.Time) *store.Store)) {
	tests := []suiteTest{
		{"records come back as they went", testRoundTrip},
		{"records outlive the process", testReopen},
		{"conflicts and references", testConflicts},
		{"updates are whole or nothing", testUpdate},
		{"so are lists", testMany},
		{"lists", testList},
		{"lists are bounded in bytes", testListBytes},
		{"sequences of two processes", testSequences},
		{"namespaces made at once", testNamespaces},
		{"heartbeats at once", testBeats},
		{"the lease starts anew", testLease},
		{"executions end with their owners", testLost},
		{"old logs go", testPrune},
	}
	for _, c := range append(tests, recording()...) {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh(t)) })
	}
}

func always(at time.Time) func() time.Time { return func() time.Time { return at } }

// rows are one record for each table, in an order that references allow.
func rows() []struct {
	table  *store.Table
	record store.Record
} {
	at, js := noon.Add(-time.Hour+1234*time.Microsecond), json.RawMessage(`{"b":[1,2.50,"ü\u0000"],"a":null}`)
	return []struct {
		table  *store.Table
		record store.Record
	}{
		{store.Agents, store.Record{"instance_name": "a", "agent_type": "DATA", "description": "'; DROP TABLE agents; --", "status": "OK",
			"last_heartbeat": at, "agent_url": nil, "workflow_enabled": false, "current_stf_count": int64(1), "total_stf_processed": int64(2),
			"last_stf_processed": at, "pid": int64(3), "hostname": "h", "operational_state": "READY", "namespace": "n", "metadata": js}},
		{store.Subscribers, store.Record{"subscriber_name": "s", "fraction": 0.25, "is_active": true, "message_filters": js}},
		{store.Logs, store.Record{"app_name": "a", "instance_name": "i", "timestamp": at, "level": int64(40), "levelname": "ERROR",
			"message": "emoji 🚀, line\nbreak", "module": "m", "funcname": "f", "lineno": int64(1), "process": int64(2), "thread": int64(1) << 60, "extra_data": nil}},
		{store.Definitions, store.Record{"workflow_name": "w", "version": "1", "workflow_type": "s", "definition": "d", "parameter_values": js, "created_by": "c"}},
		{store.Executions, store.Record{"execution_id": "e", "namespace": nil, "parameter_values": js, "performance_metrics": js, "status": "running",
			"start_time": at, "end_time": nil, "executed_by": "u", "workflow_definition": int64(1)}},
		{store.Runs, store.Record{"run_number": int64(100010), "start_time": at, "end_time": at, "run_conditions": js}},
		{store.STFFiles, store.Record{"file_id": "f", "run": int64(1), "stf_filename": "n", "file_size_bytes": int64(1) << 40, "metadata": js, "tf_count": int64(5)}},
		{store.RunStates, store.Record{"run_number": int64(100010), "phase": "p", "state": "s", "target_worker_count": int64(1), "state_changed_at": at}},
		{store.StateEvents, store.Record{"timestamp": at, "run_number": int64(100010), "event_type": "t", "state": "s", "event_data": js}},
		{store.Namespaces, store.Record{"name": "n", "owner": "o"}},
		{store.FastMonFiles, store.Record{"tf_file_id": "t", "stf_file": "n", "tf_filename": "n_tf_001.tf", "file_size_bytes": nil, "tf_count": int64(14)}},
		{store.TFSlices, store.Record{"fastmon_file": "n_tf_001.tf", "slice_id": int64(0), "tf_first": int64(1), "tf_last": int64(2), "tf_count": int64(2),
			"run_number": int64(100010), "assigned_at": at}},
		{store.Workers, store.Record{"worker_id": "w", "run_number": int64(100010), "panda_job": "j", "location": "l", "status": "s", "started_at": at}},
		{store.STFWorkflows, store.Record{"workflow_id": "w", "filename": "n", "daq_state": "run", "daq_substate": "physics", "generated_time": at,
			"stf_start_time": at, "stf_end_time": at, "stf_metadata": js}},
		{store.Stages, store.Record{"stage_id": "s", "workflow": "w", "agent_name": "a", "agent_type": "data", "processing_time_seconds": 0.125}},
		{store.Messages, store.Record{"message_id": "m", "workflow": "w", "stage": "s", "message_type": "t", "message_content": js, "sent_at": at, "is_successful": true}},
		{store.AIMemory, store.Record{"username": "u", "session_id": "s", "role": "user", "content": "ü\n🚀", "namespace": nil}},
	}
}

func testRoundTrip(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	for _, row := range rows() {
		stored, err := s.Insert(t.Context(), row.table, row.record)
		if err != nil {
			t.Fatalf("%s: %v", row.table.Name, err)
		}
		for column, want := range row.record {
			if diff := cmp.Diff(want, stored[column]); diff != "" {
				t.Errorf("%s.%s: %s", row.table.Name, column, diff)
			}
		}
		got, err := s.Get(t.Context(), row.table, row.table.Key, stored[row.table.Key])
		if diff := cmp.Diff(stored, got); err != nil || diff != "" {
			t.Errorf("%s read again: %v %s", row.table.Name, err, diff)
		}
		if created, has := got["created_at"]; has && !created.(time.Time).Equal(noon) {
			t.Errorf("%s created at %v", row.table.Name, created)
		}
		body, err := row.table.Encode(got)
		if err != nil || !json.Valid(body) {
			t.Errorf("%s encoded: %v %s", row.table.Name, err, body)
		}
	}
	var e swf.Execution
	r, err := s.Get(t.Context(), store.Executions, "execution_id", "e")
	if err != nil || store.Executions.Decode(r, &e) != nil || e.ExecutedBy != "u" || e.EndTime != nil {
		t.Errorf("decoded %+v, %v", e, err)
	}
}

func testReopen(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	if _, err := s.Next(t.Context(), store.RunNumbers); err != nil {
		t.Fatal(err)
	}
	if n, err := open(always(noon)).Next(t.Context(), store.RunNumbers); n != 100011 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

func testConflicts(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	for _, row := range rows() {
		if _, err := s.Insert(t.Context(), row.table, row.record); err != nil {
			t.Fatalf("%s: %v", row.table.Name, err)
		}
	}
	unique := map[*store.Table][]string{store.Agents: {"instance_name"}, store.Subscribers: {"subscriber_name"},
		store.Definitions: {"workflow_name", "version"}, store.Executions: {"execution_id"}, store.Runs: {"run_number"},
		store.RunStates: {"run_number"}, store.Namespaces: {"name"}, store.Logs: nil, store.StateEvents: nil, store.AIMemory: nil,
		store.TFSlices: {"fastmon_file", "slice_id"}, store.Workers: {"worker_id"}, store.Messages: {"message_id"}}
	for _, row := range rows() {
		want, checked := unique[row.table]
		_, err := s.Insert(t.Context(), row.table, row.record)
		var taken *store.ConflictError
		errors.As(err, &taken)
		switch {
		case !checked: // more than the key of these is unique; files are below
		case want == nil && err != nil:
			t.Errorf("%s: %v", row.table.Name, err)
		case want != nil && (taken == nil || !slices.Equal(taken.Columns, want)):
			t.Errorf("%s: %v", row.table.Name, err)
		}
	}
	file := store.Record{"file_id": "g", "run": int64(1), "stf_filename": "n"}
	var taken *store.ConflictError
	if _, err := s.Insert(t.Context(), store.STFFiles, file); !errors.As(err, &taken) || taken.Columns[0] != "stf_filename" {
		t.Errorf("file of the same name: %v", err)
	}
	file["run"], file["stf_filename"] = int64(99), "other"
	if _, err := s.Insert(t.Context(), store.STFFiles, file); !errors.Is(err, store.ErrReference) {
		t.Errorf("file of no run: %v", err)
	}
	if err := s.Delete(t.Context(), store.Runs, int64(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), store.STFFiles, "file_id", "f"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a file outlives its run: %v", err)
	}
	if err := s.Delete(t.Context(), store.Runs, int64(1)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if _, err := s.Insert(t.Context(), store.Runs, store.Record{"nonsense": "x"}); err == nil {
		t.Error("a column that is not there")
	}
	if _, err := s.Insert(t.Context(), store.Runs, store.Record{"run_number": "text"}); err == nil {
		t.Error("text in a number")
	}
}

func testUpdate(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	r, err := s.Insert(t.Context(), store.Namespaces, store.Record{"name": "n", "owner": "o"})
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	set := func(values store.Record, err error) func(store.Record) (store.Record, error) {
		return func(store.Record) (store.Record, error) { return values, err }
	}
	if _, err := s.Update(t.Context(), store.Namespaces, "n", set(store.Record{"owner": "x"}, refused)); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Update(t.Context(), store.Namespaces, "none", set(nil, nil)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	got, err := s.Update(t.Context(), store.Namespaces, "n", set(store.Record{"name": "m", "created_at": noon.Add(time.Hour), "description": "d"}, nil))
	r["description"] = "d"
	if diff := cmp.Diff(r, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}

	// Read-modify-write by many loses nothing.
	if _, err := s.Insert(t.Context(), store.RunStates, store.Record{"run_number": int64(1), "phase": "p", "state": "s", "target_worker_count": int64(0), "state_changed_at": noon}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if _, err := s.Update(t.Context(), store.RunStates, int64(1), func(r store.Record) (store.Record, error) {
					return store.Record{"slices_created": r["slices_created"].(int64) + 1}, nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if r, err := s.Get(t.Context(), store.RunStates, "run_number", int64(1)); err != nil || r["slices_created"] != int64(80) {
		t.Errorf("%v, %v", r["slices_created"], err)
	}
}

func testList(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	for n := range 5 {
		conditions := any(json.RawMessage(`{}`))
		if n%2 == 0 {
			conditions = nil
		}
		if _, err := s.Insert(t.Context(), store.Runs, store.Record{"run_number": int64(n), "start_time": noon, "run_conditions": conditions}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		query store.Query
		want  []int64
		more  bool
	}{
		{store.Query{}, []int64{4, 3, 2, 1, 0}, false},
		{store.Query{Limit: 2, Offset: 1}, []int64{3, 2}, true},
		{store.Query{Limit: 2, Offset: 3}, []int64{1, 0}, false},
		{store.Query{Offset: 9}, nil, false},
		{store.Query{Equal: map[string]any{"run_conditions": nil}}, []int64{4, 2, 0}, false},
		{store.Query{Equal: map[string]any{"run_number": int64(3), "start_time": noon}}, []int64{3}, false},
	} {
		page, err := s.List(t.Context(), store.Runs, c.query)
		var got []int64
		for _, r := range page.Records {
			got = append(got, r["run_number"].(int64))
		}
		if err != nil || !slices.Equal(got, c.want) || page.More != c.more {
			t.Errorf("%+v: %v %v %v", c.query, got, page.More, err)
		}
	}
	if n, err := s.Count(t.Context(), store.Runs, store.Query{Equal: map[string]any{"run_conditions": nil}}); n != 3 || err != nil {
		t.Errorf("count %d, %v", n, err)
	}
	if _, err := s.List(t.Context(), store.Runs, store.Query{Equal: map[string]any{"1=1 --": "x"}}); err == nil {
		t.Error("a column that is not there")
	}
}

func testListBytes(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	text := strings.Repeat("x", 1<<20)
	for n := range 12 {
		if _, err := s.Insert(t.Context(), store.Namespaces, store.Record{"name": fmt.Sprint(n), "owner": "o", "description": text}); err != nil {
			t.Fatal(err)
		}
	}
	page, err := s.List(t.Context(), store.Namespaces, store.Query{})
	if err != nil || !page.More || len(page.Records) == 0 || len(page.Records) > 5 {
		t.Errorf("%d records, more %v, %v", len(page.Records), page.More, err)
	}
}
