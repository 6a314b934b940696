package dashboard_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

func TestEmptyPagesSayWhatToDo(t *testing.T) {
	w := newBench(t).signIn("ann-token")
	for path, want := range map[string]string{
		"/": "testbed agent-manager", "/testbeds/ann": "testbed agent-manager", "/executions": "testbed run",
		"/messages": "once a workflow runs", "/logs": "once a testbed runs", "/commands": "Start a testbed from its page",
		"/executions?status=failed": "Show all", "/messages?q=x": "Show all", "/logs?level=ERROR": "Show all", "/commands?outcome=failed": "Show all",
	} {
		if r := w.get(path); r.status != 200 || !strings.Contains(r.body, want) {
			t.Errorf("%s: %d, without %q", path, r.status, want)
		}
	}
}

func TestPagesShowWhatTheMonitorKnows(t *testing.T) {
	b := newBench(t)
	b.manager("ann")
	b.execution("stf_datataking-ann-0001", "ann")
	told, _ := json.Marshal(map[string]any{"username": "ann", "command": "start_testbed", "command_id": "id-7", "issued_by": "olga", "outcome": "failed", "code": "start_failed", "text": "it broke", "seconds": 2.25})
	b.insert(store.Logs, store.Record{"app_name": swf.AppManager, "instance_name": swf.ManagerInstance("ann"), "funcname": swf.FuncCommand, "module": "manager", "lineno": int64(1),
		"process": int64(1), "thread": int64(1), "level": int64(40), "levelname": "ERROR", "message": "start_testbed asked by olga: failed", "timestamp": time.Now().UTC(), "extra_data": json.RawMessage(told)})
	forged, _ := json.Marshal(map[string]any{"username": "bob", "command": "stop_testbed", "issued_by": "bob", "outcome": "succeeded"})
	b.insert(store.Logs, store.Record{"app_name": swf.AppManager, "instance_name": swf.ManagerInstance("ann"), "funcname": swf.FuncCommand, "module": "manager", "lineno": int64(1),
		"process": int64(1), "thread": int64(1), "level": int64(20), "levelname": "INFO", "message": "x", "timestamp": time.Now().UTC(), "extra_data": json.RawMessage(forged)})
	w := b.signIn("ann-token")
	for path, wants := range map[string][]string{
		"/":                                   {"workflow-runner", "RUNNING", `class="n">3<`, "stf_datataking-ann-0001", "torre", `of"> / 20`},
		"/testbeds/ann":                       {"workflow-runner", "olga", "start_failed", "2.2 s", "fast_processing_default.toml"},
		"/executions":                         {"stf_datataking-ann-0001", "running", `value="15"`},
		"/executions/stf_datataking-ann-0001": {"run_imminent", "pause_run", "of 20", "data-plot", "Stop this workflow"},
		"/messages?type=start_run":            {"start_run"},
		"/logs?level=ERROR":                   {"start_testbed asked by olga"},
		"/commands?outcome=failed":            {"olga", "start_testbed", "it broke"},
	} {
		r := w.get(path)
		for _, want := range wants {
			if r.status != 200 || !strings.Contains(r.body, want) {
				t.Errorf("%s: %d, without %q", path, r.status, want)
			}
		}
	}
	if r := w.get("/commands"); strings.Contains(r.body, "stop_testbed</th>") {
		t.Error("a record by which ann's manager speaks for bob is shown")
	}
	if r := w.get("/messages?type=start_run"); strings.Contains(r.body, "<b>pause_run") {
		t.Error("the filter lets others through")
	}
	if r := w.get("/logs?since=tomorrow&level=LOUD"); r.status != 200 || strings.Count(r.body, "was left out") != 2 {
		t.Error("filters that cannot be are not told")
	}
	for _, path := range []string{"/executions/no-such-0001", "/executions/..", "/testbeds/Bob", "/testbeds/nobody", "/nope", "/static/"} {
		if r := w.get(path); r.status != http.StatusNotFound && r.status != http.StatusMovedPermanently && r.status != http.StatusTemporaryRedirect {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}

// TestListsTurnPages: a list is cut into pages, whose links keep the filters.
func TestListsTurnPages(t *testing.T) {
	b := newBench(t)
	for i := range 60 {
		b.insert(store.Messages, store.Record{"message_id": string(rune('A'+i/26)) + string(rune('a'+i%26)), "message_type": "stf_gen", "sent_at": time.Now().UTC(),
			"message_content": json.RawMessage(`{}`), "is_successful": true})
	}
	w := b.signIn("ann-token")
	first, second := w.get("/messages?type=stf_gen"), w.get("/messages?page=2&type=stf_gen")
	if n := strings.Count(first.body, "<summary"); n != 50 || !strings.Contains(first.body, `href="/messages?page=2&amp;type=stf_gen"`) {
		t.Errorf("page 1 has %d rows", n)
	}
	if n := strings.Count(second.body, "<summary"); n != 10 || !strings.Contains(second.body, `href="/messages?type=stf_gen"`) || strings.Contains(second.body, "sse:messages") {
		t.Errorf("page 2 has %d rows", n)
	}
}

// TestLiveTellsOfWrites: a write to the store is an event of its topic.
func TestLiveTellsOfWrites(t *testing.T) {
	b := newBench(t)
	w := b.signIn("ann-token")
	req, err := http.NewRequestWithContext(t.Context(), "GET", b.url+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(w.cookie)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	found := events(resp.Body)
	t.Cleanup(func() {
		resp.Body.Close()
		for range found { // until the reader has ended
		}
		http.DefaultClient.CloseIdleConnections()
	})
	b.manager("ann")
	if name := <-found; name != "agents" {
		t.Errorf("a heartbeat is told as %s", name)
	}
	if _, err := b.store.Record(t.Context(), []store.Heard{{Message: store.Record{"message_id": "m", "message_type": "x", "sent_at": time.Now().UTC(),
		"message_content": json.RawMessage(`{}`), "is_successful": true}}}); err != nil {
		t.Fatal(err)
	}
	for name := range found {
		if name == "messages" {
			return
		}
	}
	t.Error("a message is not told")
}
