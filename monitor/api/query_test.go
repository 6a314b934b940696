package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
)

// lists are the lists of the contract.
var lists = []string{"systemagents", "subscribers", "logs", "workflow-definitions", "workflow-executions", "runs", "stf-files", "fastmon-files",
	"tf-slices", "workers", "run-states", "system-state-events", "workflows", "workflow-stages", "workflow-messages"}

// hostile are values that databases read in ways of their own.
var hostile = []string{"%00", "%ff", "'", "%25", "%5C", "-1", "99999999999999999999", "%F0%9F%9A%80"}

// params are the parameters that any list knows.
var params = []string{"instance_name", "namespace", "app_name", "workflow_name", "status", "run_number", "stf_filename", "workflow_id", "tf_filename", "id",
	"fastmon_file_id", "fastmon_file__tf_filename", "fastmon_file__stf_file__stf_filename", "slice_id", "location", "event_type", "execution_id", "message_type",
	"since", "before", "level_min", "search", "limit", "offset", "page_offset"}

// TestHostileQueries: no query and no id is a failure of the server.
func TestHostileQueries(t *testing.T) {
	s := newSite(t, token)
	for _, list := range append(lists, "ai-memory") {
		for _, value := range hostile {
			for _, param := range append(params, "username", "turns") {
				path := "/api/" + list + "/?" + param + "=" + value
				if r := s.send("GET", path, "", "", ""); r.status != 200 && r.status != 400 {
					t.Errorf("GET %s: %d %s", path, r.status, r.body)
				}
			}
			path := "/api/" + list + "/" + value + "/"
			if r := s.send("GET", path, "", "", ""); r.status != 404 {
				t.Errorf("GET %s: %d %s", path, r.status, r.body)
			}
		}
	}
}

// TestRunStates: by number in any form, changed in part, and their events.
func TestRunStates(t *testing.T) {
	s := newSite(t, token)
	s.must(201, "POST", "/api/run-states/", `{"run_number":"100010","phase":"initializing","state":"imminent","substate":"preparing","target_worker_count":"4"}`)
	s.must(200, "PATCH", "/api/run-states/100010/", `{"state_changed_at":"2026-11-23T11:59:00.5","phase":"physics","state":"running","substate":"physics","stf_samples_received":"3"}`)
	got := s.must(200, "GET", "/api/run-states/100010/", "")
	if got["phase"] != "physics" || got["stf_samples_received"] != 3.0 || got["target_worker_count"] != 4.0 || got["state_changed_at"] != "2026-11-23T11:59:00.500000Z" {
		t.Errorf("got %v", got)
	}
	s.json("PATCH", "/api/run-states/100010/", `{"state":"a state of too many characters","slices_created":"many"}`).want(t, 400,
		`{"slices_created":["A valid integer is required."],"state":["Ensure this field has no more than 20 characters."]}`)
	s.json("GET", "/api/run-states/7/", "").want(t, 404, `{"detail":"No RunState matches the given query."}`)

	for _, kind := range []string{"start_run", "tf_file_processed", "tf_file_processed"} {
		s.clock.Advance(1e9)
		s.must(201, "POST", "/api/system-state-events/", `{"timestamp":"`+s.clock.Now().Format("2006-01-02T15:04:05")+`","run_number":"100010","event_type":"`+kind+`","state":"unknown","event_data":{}}`)
	}
	for query, want := range map[string]int{"": 3, "?run_number=100010&event_type=tf_file_processed": 2, "?state=run": 0, "?state=unknown&limit=2": 2, "?run_number=7": 0} {
		if got := s.list("/api/system-state-events/" + query); len(got) != want {
			t.Errorf("%s: %d events, want %d", query, len(got), want)
		}
	}
}

// FuzzQuery: as TestHostileQueries, with whatever else there may be.
func FuzzQuery(f *testing.F) {
	s, err := store.Open(f.Context(), store.Options{Path: filepath.Join(f.TempDir(), "monitor.db")})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	h := api.New(api.Options{Store: s})
	for i, list := range lists {
		f.Add(list, params[i], hostile[i%len(hostile)], "5")
	}
	f.Fuzz(func(t *testing.T, list, param, value, limit string) {
		query := url.Values{param: {value}, "limit": {limit}}
		r := httptest.NewRequest(http.MethodGet, "/api/x/", nil)
		r.URL = &url.URL{Path: "/api/" + list + "/", RawQuery: query.Encode()}
		w := httptest.NewRecorder()
		if list == "messages/stream" {
			return // it has no end
		}
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%s: %d %s", r.URL, w.Code, w.Body)
		}
	})
}
