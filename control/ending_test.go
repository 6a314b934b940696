package control

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// An ending outlives its runner: whoever opens the claims finds it as it was
// written, until somebody has told it.
func TestEndingStandsBesideTheClaim(t *testing.T) {
	runs := Runs{Dir: t.TempDir()}
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, id := range []string{"done", "dead"} {
		if _, won, err := runs.Claim(Claim{CommandID: id, ExecutionID: "wf-ann-" + id, At: at}); err != nil || !won {
			t.Fatalf("claim %s: %v, %v", id, won, err)
		}
	}
	for _, status := range []string{swf.ExecutionFailed, swf.ExecutionCompleted} { // the second one stands
		if err := runs.Conclude("done", Ending{Status: status, EndTime: at, Metrics: json.RawMessage(`{"stf_count":3}`)}); err != nil {
			t.Fatal(err)
		}
	}
	open, err := runs.Open()
	if err != nil || len(open) != 2 {
		t.Fatalf("open: %+v, %v", open, err)
	}
	dead, done := open[0], open[1]
	if dead.Ending != nil || done.Ending == nil || done.Ending.Status != swf.ExecutionCompleted || !done.Ending.EndTime.Equal(at) {
		t.Errorf("dead %+v, done %+v", dead.Ending, done.Ending)
	}
	body, err := json.Marshal(done.Ending.Fields())
	if want := `{"end_time":"2026-11-23T12:00:00.000000Z","performance_metrics":{"stf_count":3},"status":"completed"}`; err != nil || string(body) != want {
		t.Errorf("told as %s, want %s (%v)", body, want, err)
	}
	if runs.Ended("done") {
		t.Error("told before it was")
	}
	if err := runs.End("done"); err != nil || !runs.Ended("done") {
		t.Errorf("told: %v, %v", runs.Ended("done"), err)
	}
	if open, err := runs.Open(); err != nil || len(open) != 1 || open[0].CommandID != "dead" {
		t.Errorf("open afterwards: %+v, %v", open, err)
	}
	if err := runs.Sweep(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if open, err := runs.Open(); err != nil || len(open) != 0 {
		t.Errorf("open after the sweep: %+v, %v", open, err)
	}
	if err := runs.Conclude("../x", Ending{}); err == nil {
		t.Error("an ending outside the folder was written")
	}
}
