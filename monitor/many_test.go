package monitor_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// counting is a monitor that counts what is written to it; with plain it knows
// no lists, as the Python one.
func counting(t *testing.T, plain bool) (c *monitor.Client, writes *int) {
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "monitor.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	real, n := api.New(api.Options{Store: st}), 0
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.Method != http.MethodGet {
			n++
		}
		if plain && bytes.HasPrefix(body, []byte("[")) {
			if r.Method == http.MethodPatch {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}`)
			return
		}
		real.ServeHTTP(w, r)
	}), monitor.Options{}), &n
}

func TestManyAtOnceOrOneByOne(t *testing.T) {
	for name, plain := range map[string]bool{"lists": false, "no lists": true} {
		t.Run(name, func(t *testing.T) {
			c, writes := counting(t, plain)
			ctx := t.Context()
			run := ok(c.CreateRun(ctx, swf.Run{RunNumber: 100010, StartTime: swf.At(time.Now())}))(t)
			ok(c.CreateSTFFile(ctx, swf.STFFile{Run: run.RunID, STFFilename: "f.stf"}))(t)
			ok(c.CreateFastMonFile(ctx, swf.FastMonFile{STFFile: "f.stf", TFFilename: "f_tf_001.tf"}))(t)
			slice := func(n int) swf.TFSlice {
				return swf.TFSlice{FastMonFile: "f_tf_001.tf", SliceID: n, TFCount: 1, RunNumber: 100010, Metadata: json.RawMessage(`{"n":1}`)}
			}
			*writes = 0
			made := ok(c.CreateTFSlices(ctx, []swf.TFSlice{slice(2), slice(0), slice(1)}))(t)
			if !slices.EqualFunc(made, []int{2, 0, 1}, func(s swf.TFSlice, n int) bool { return s.SliceID == n && s.ID > 0 }) {
				t.Errorf("made %+v", made)
			}
			if want := map[bool]int{false: 1, true: 4}[plain]; *writes != want {
				t.Errorf("%d requests, want %d", *writes, want)
			}
			*writes = 0
			patches := []monitor.SlicePatch{{made[0].ID, map[string]any{"status": "completed"}}, {made[1].ID, map[string]any{"status": "failed"}}}
			event := swf.StateEvent{Timestamp: swf.At(time.Now()), RunNumber: 100010, EventType: "slice_result", State: "running", EventData: json.RawMessage(`{"k":1}`)}
			other := event
			other.EventData = nil
			if err := c.PatchTFSlices(ctx, patches); err != nil {
				t.Error(err)
			}
			if err := c.PostStateEvents(ctx, []swf.StateEvent{event, event}); err != nil {
				t.Error(err)
			}
			if want := map[bool]int{false: 2, true: 4}[plain]; *writes != want { // it is not asked again
				t.Errorf("%d requests, want %d", *writes, want)
			}
			if done := ok(c.FindTFSlices(ctx, monitor.SliceFilter{Status: "completed"}))(t); len(done) != 1 || done[0].SliceID != 2 {
				t.Errorf("completed %+v", done)
			}
			if fresh := c.NewStateEvents(ctx, []swf.StateEvent{event, other}); len(fresh) != 1 || fresh[0].EventData != nil {
				t.Errorf("new are %+v", fresh)
			}
			if has := ok(c.HasStateEvent(ctx, other))(t); !has {
				t.Error("there is none of that kind")
			}
			if _, err := c.CreateTFSlices(ctx, []swf.TFSlice{slice(3), slice(1)}); err == nil {
				t.Error("a slice was made twice")
			}
			*writes = 0
			if _, err := c.CreateTFSlices(ctx, nil); err != nil || c.PatchTFSlices(ctx, nil) != nil || c.PostStateEvents(ctx, nil) != nil || *writes != 0 {
				t.Errorf("nothing took %d requests, %v", *writes, err)
			}
		})
	}
}
