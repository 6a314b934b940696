package monitor_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

func TestPipelineLife(t *testing.T) {
	c, ctx := realMonitor(t), t.Context()
	run := ok(c.CreateRun(ctx, swf.Run{RunNumber: 100010, StartTime: swf.At(time.Now())}))(t)
	ok(c.CreateSTFFile(ctx, swf.STFFile{Run: run.RunID, STFFilename: "f"}))(t)
	count := 14
	sample := ok(c.CreateFastMonFile(ctx, swf.FastMonFile{STFFile: "f", TFFilename: "f_tf_001.tf", TFCount: &count, Status: "registered"}))(t)
	if len(sample.TFFileID) != 36 || *sample.TFCount != 14 || string(sample.Metadata) != "{}" {
		t.Errorf("sample %+v", sample)
	}
	if again := ok(c.FastMonFile(ctx, "f_tf_001.tf"))(t); again == nil || again.TFFileID != sample.TFFileID {
		t.Errorf("found %+v", again)
	}
	if none := ok(c.FastMonFile(ctx, "g"))(t); none != nil {
		t.Errorf("a sample that is not there: %+v", none)
	}
	if of := ok(c.FastMonFiles(ctx, "f"))(t); len(of) != 1 {
		t.Errorf("of the file: %+v", of)
	}
	for n := range 3 {
		ok(c.CreateTFSlice(ctx, swf.TFSlice{FastMonFile: "f_tf_001.tf", SliceID: n, TFFirst: 1, TFLast: 2, TFCount: 2, RunNumber: 100010}))(t)
	}
	if _, err := c.CreateTFSlice(ctx, swf.TFSlice{FastMonFile: "f_tf_001.tf", SliceID: 0, TFCount: 2, RunNumber: 100010}); err == nil {
		t.Error("a slice twice")
	}
	zero := 0
	found := ok(c.FindTFSlices(ctx, monitor.SliceFilter{RunNumber: 100010, SliceID: &zero, FastMonFile: "f_tf_001.tf"}))(t)
	if len(found) != 1 || found[0].SliceID != 0 || found[0].Status != "queued" {
		t.Fatalf("found %+v", found)
	}
	if err := c.PatchTFSlice(ctx, found[0].ID, map[string]any{"status": "completed"}); err != nil {
		t.Fatal(err)
	}
	if open := ok(c.FindTFSlices(ctx, monitor.SliceFilter{Status: "queued", Limit: 1, Offset: 1}))(t); len(open) != 1 || open[0].SliceID != 2 {
		t.Errorf("open %+v", open)
	}
}

func TestPages(t *testing.T) {
	c, ctx := realMonitor(t), t.Context()
	for n := range 5 {
		at := time.Date(2026, 11, 23, 12, 0, n, 0, time.UTC)
		if err := c.PostLog(ctx, swf.LogEntry{AppName: "a", InstanceName: "i", Timestamp: swf.At(at), Level: 20 + 10*(n%2), LevelName: "L",
			Message: fmt.Sprint("m", n), Module: "m", FuncName: "f", ExtraData: json.RawMessage(`{"execution_id":"e"}`)}); err != nil {
			t.Fatal(err)
		}
		if err := c.PostStateEvent(ctx, swf.StateEvent{Timestamp: swf.At(at), RunNumber: 7, EventType: "t", State: "s"}); err != nil {
			t.Fatal(err)
		}
	}
	logs := ok(c.Logs(ctx, monitor.LogFilter{ExecutionID: "e"}, 2, 1))(t)
	if logs.Total != 5 || len(logs.Items) != 2 || logs.Items[0].Message != "m3" || !logs.More(1) {
		t.Errorf("logs %+v", logs)
	}
	since := time.Date(2026, 11, 23, 12, 0, 2, 0, time.UTC)
	if errors := ok(c.Logs(ctx, monitor.LogFilter{MinLevel: 30, Since: since, Search: "M"}, 9, 0))(t); errors.Total != 1 || errors.More(0) {
		t.Errorf("errors %+v", errors)
	}
	if events := ok(c.StateEvents(ctx, 7, "t", 3, 3))(t); events.Total != 5 || len(events.Items) != 2 {
		t.Errorf("events %+v", events)
	}
	if none := ok(c.Messages(ctx, monitor.MessageFilter{ExecutionID: "e"}, 5, 0))(t); none.Total != 0 || len(none.Items) != 0 {
		t.Errorf("messages %+v", none)
	}
	if none := ok(c.ExecutionPage(ctx, monitor.Filter{Status: "running"}, 5, 0))(t); none.Total != 0 {
		t.Errorf("executions %+v", none)
	}
	if none := ok(c.AgentPage(ctx, "n", 5, 0))(t); none.Total != 0 {
		t.Errorf("agents %+v", none)
	}
}

// TestPagesOfDjango: a monitor that knows no limits gives all; the page is cut
// here.
func TestPagesOfDjango(t *testing.T) {
	all := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`[{"message_type":"a"},{"message_type":"b"},{"message_type":"c"}]`))
	})
	c, ctx := serve(t, all, monitor.Options{}), t.Context()
	for _, k := range []struct{ limit, offset, want int }{{2, 0, 2}, {2, 2, 1}, {2, 9, 0}, {0, 0, 3}} {
		if p := ok(c.Messages(ctx, monitor.MessageFilter{}, k.limit, k.offset))(t); len(p.Items) != k.want || p.Total != 3 {
			t.Errorf("%+v: %+v", k, p)
		}
	}
}
