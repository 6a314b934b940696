package recorder_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/recorder"
)

// TestFromBusToStream: what a run says on the bus comes out of the monitor's
// stream, its lists and its run state.
func TestFromBusToStream(t *testing.T) {
	s, hub := sqliteStore(t), api.NewHub()
	d := newDesk(t, recorder.Options{Store: s, Heard: hub.Publish})
	srv := httptest.NewServer(api.New(api.Options{Store: s, Hub: hub}))
	defer srv.Close()
	defer hub.Close()
	client := monitor.New(monitor.Options{URL: srv.URL})
	defer client.Close()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/api/messages/stream/?msg_types=start_run,end_run&run_ids=100010", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func() string {
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				lines.Scan()
				return name + " " + lines.Text()
			}
		}
		return ""
	}
	if e := next(); !strings.HasPrefix(e, "connected ") {
		t.Fatalf("event %q", e)
	}
	bodies := append(stream(100011, 1), stream(100010, 3)...)
	d.settled(bodies...)
	for _, want := range []string{"start_run", "end_run"} {
		if e := next(); !strings.HasPrefix(e, want+" ") || !strings.Contains(e, `"sender_agent":"daq_simulator-agent-ann-1"`) || !strings.Contains(e, `"run_id":"100010"`) {
			t.Errorf("event %q, want %s", e, want)
		}
	}
	page, err := client.Messages(ctx, monitor.MessageFilter{RunID: "100010"}, 2, 0)
	if err != nil || page.Total != 8 || len(page.Items) != 2 {
		t.Errorf("messages %+v, %v", page, err)
	}
	if run, err := client.RunState(ctx, 100010); err != nil || run == nil || run.State != "ended" || run.Phase != "completed" || run.Substate != nil {
		t.Errorf("run %+v, %v", run, err)
	}
}
