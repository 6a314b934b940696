package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// testLost: an execution is lost within a minute of the last sign of who would
// end it, never while there is one, and what its owner tells later stands.
func testLost(t *testing.T, open func(func() time.Time) *store.Store) {
	now := noon
	clock := func() time.Time { return now }
	s := open(clock)
	definition := rows()[3].record
	if _, err := s.Insert(t.Context(), store.Definitions, definition); err != nil {
		t.Fatal(err)
	}
	beat := func(name, kind, metadata, status string) {
		t.Helper()
		beatAs(t, s, store.Record{"instance_name": name, "agent_type": kind, "status": status, "metadata": json.RawMessage(metadata)})
	}
	const ours, manager = `{"instance":"i","seq":1}`, `{"seq":1,"protocol":2}`
	owners := []struct {
		user string
		beat func()
	}{
		{"ann", func() { beat("daq_simulator-agent-ann-7", "DAQ_Simulator", ours, "OK") }},
		{"ann-b", func() { beat("agent-manager-ann-b", "agent_manager", manager, "OK") }},
		{"gone", func() { beat("daq_simulator-agent-gone-8", "DAQ_Simulator", ours, "EXITED") }},
		{"py", func() { beat("daq_simulator-agent-py-9", "DAQ_Simulator", "null", "OK") }},
		{"once", func() { beat("wf-agent-once-x12", "wf", "null", "WARNING") }},
		{"pyman", func() { beat("agent-manager-pyman", "agent_manager", "null", "OK") }},
		{"nobody", func() {}},
		{"other", func() { beat("data-agent-other-1", "DATA", ours, "OK") }}, // an agent ends no execution
	}
	for _, o := range owners {
		o.beat()
		if _, err := s.Insert(t.Context(), store.Executions, store.Record{"execution_id": "wf-" + o.user + "-0001", "status": swf.ExecutionRunning,
			"start_time": noon.Add(-time.Hour), "executed_by": o.user, "workflow_definition": int64(1), "parameter_values": definition["parameter_values"]}); err != nil {
			t.Fatal(err)
		}
	}
	status := func(user string) string {
		r, err := s.Get(t.Context(), store.Executions, "execution_id", "wf-"+user+"-0001")
		if err != nil {
			t.Fatal(err)
		}
		if ended := r["end_time"] != nil; ended != (r["status"] != swf.ExecutionRunning) {
			t.Errorf("%s: %v, ended %v", user, r["status"], r["end_time"])
		}
		return fmt.Sprint(r["status"])
	}
	sweep := func(d time.Duration) { t.Helper(); sweepFor(t, s, &now, d) }
	for range 12 { // two minutes of beats
		for _, o := range owners {
			o.beat()
		}
		sweep(10 * time.Second)
	}
	for user, want := range map[string]string{"ann": "running", "ann-b": "running", "py": "running", "once": "running", "gone": "lost", "pyman": "lost", "nobody": "lost", "other": "lost"} {
		if got := status(user); got != want {
			t.Errorf("with heartbeats: %s's is %s, want %s", user, got, want)
		}
	}
	s.Close()
	s = open(clock) // a restart: nobody could beat meanwhile, so the lease starts anew
	sweep(30 * time.Second)
	if got := status("ann"); got != swf.ExecutionRunning {
		t.Errorf("30 s after a restart ann's is %s", got)
	}
	sweep(30 * time.Second)
	for user, want := range map[string]string{"ann": "lost", "ann-b": "lost", "py": "running"} {
		if got := status(user); got != want {
			t.Errorf("after a minute of silence: %s's is %s, want %s", user, got, want)
		}
	}
	sweep(time.Minute)
	if got := status("py"); got != swf.ExecutionLost {
		t.Errorf("after two minutes of silence py's is %s", got)
	}
}

// sweepFor sweeps every 10 s of a clock.
func sweepFor(t *testing.T, s *store.Store, now *time.Time, d time.Duration) {
	t.Helper()
	for end := now.Add(d); now.Before(end); *now = now.Add(10 * time.Second) {
		if _, err := s.SweepExecutions(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func beatAs(t *testing.T, s *store.Store, values store.Record) {
	t.Helper()
	values["operational_state"] = swf.OpReady
	if _, _, err := s.Beat(t.Context(), store.Beat{Values: values}); err != nil {
		t.Fatal(err)
	}
}
