package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// testRetention: of everything that ages one record is old and one is not; and
// what is in use stays, however old.
func testRetention(t *testing.T, open func(func() time.Time) *store.Store) {
	now := noon
	s := open(func() time.Time { return now })
	insert := func(table *store.Table, r store.Record) {
		t.Helper()
		if _, err := s.Insert(t.Context(), table, r); err != nil {
			t.Fatalf("%s: %v", table.Name, err)
		}
	}
	definition := rows()[3].record
	insert(store.Definitions, definition)
	for n, at := range []time.Time{noon, noon.Add(40 * 24 * time.Hour)} {
		now = at
		record(t, s, store.Heard{Message: message(fmt.Sprint(n), "t", at)})
		log := rows()[2].record
		log["timestamp"] = at
		insert(store.Logs, log)
		insert(store.StateEvents, store.Record{"timestamp": at, "run_number": int64(1), "event_type": "t", "state": "s"})
		insert(store.AIMemory, store.Record{"username": "u", "session_id": "s", "role": "user", "content": "c"})
		for status, end := range map[string]any{"completed": at, "running": nil} {
			insert(store.Executions, store.Record{"execution_id": fmt.Sprint(status, n), "status": status, "start_time": at, "end_time": end,
				"executed_by": "u", "workflow_definition": int64(1), "parameter_values": definition["parameter_values"]})
		}
		for _, state := range []string{swf.OpExited, swf.OpReady} {
			name := fmt.Sprint(state, n)
			if _, _, err := s.Beat(t.Context(), store.Beat{Instance: "i", Values: store.Record{"instance_name": name, "operational_state": state}}); err != nil {
				t.Fatal(err)
			}
			insert(store.Subscribers, store.Record{"subscriber_name": name + "-/topic/epictopic"})
		}
		insert(store.Runs, store.Record{"run_number": int64(n), "start_time": at})
	}
	gone, err := s.Prune(t.Context(), 30*24*time.Hour)
	want := map[string]int64{"workflow_messages": 1, "logs": 1, "system_state_events": 1, "ai_memory": 1, "workflow_executions": 1, "agents": 1, "subscribers": 1}
	if diff := cmp.Diff(want, gone); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if gone, err = s.Prune(t.Context(), 30*24*time.Hour); err != nil || len(gone) != 0 {
		t.Errorf("again: %v, %v", gone, err)
	}
	for table, want := range map[*store.Table]int64{store.Agents: 3, store.Subscribers: 3, store.Executions: 3, store.Runs: 2, store.Definitions: 1} {
		if n, err := s.Count(t.Context(), table, store.Query{}); n != want || err != nil {
			t.Errorf("%s: %d left, %v", table.Name, n, err)
		}
	}
}

func testMessagesBounded(t *testing.T, open func(func() time.Time) *store.Store) {
	s := open(always(noon))
	for n := range 10 {
		record(t, s, store.Heard{Message: message(fmt.Sprint(n), "t", noon.Add(time.Duration(n)*time.Second))})
	}
	for _, step := range []struct{ keep, gone int64 }{{10, 0}, {11, 0}, {4, 6}, {4, 0}} {
		if n, err := s.PruneMessages(t.Context(), step.keep); n != step.gone || err != nil {
			t.Errorf("keeping %d: %d gone, %v", step.keep, n, err)
		}
	}
}
