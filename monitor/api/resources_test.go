package api_test

import (
	"fmt"
	"strings"
	"testing"
)

const definitionBody = `{"workflow_name":"stf_datataking","version":"1.0","workflow_type":"simulation","definition":"pass","parameter_values":{"b":2,"a":1.50},"created_by":"ann","created_at":"2001-01-01T00:00:00"}`

// seed makes a definition (1) and a run (1, number 100010).
func (s *site) seed() {
	s.t.Helper()
	s.must(201, "POST", "/api/workflow-definitions/", definitionBody)
	s.must(201, "POST", "/api/runs/", `{"run_number":"100010","start_time":"2026-11-23T11:00:00.5","run_conditions":{}}`)
}

const executionBody = `{"execution_id":"stf_datataking-ann.b-0001","workflow_definition":1,"namespace":"ns","status":"running","executed_by":"ann.b","start_time":"2026-11-23T11:00:00.123456","parameter_values":{"x":{"y":1}}}`

// TestObjects holds the shape of each resource's object: the fields, their
// order and their defaults.
func TestObjects(t *testing.T) {
	s := newSite(t, token)
	s.seed()
	cases := []struct{ path, body, want string }{
		{"subscribers", `{"subscriber_name":"a-1-/topic/epictopic","description":"DATA agent","is_active":true,"fraction":1.0}`,
			`{"subscriber_id":1,"subscriber_name":"a-1-/topic/epictopic","fraction":1,"description":"DATA agent","is_active":true,"created_at":"2026-11-23T12:00:00.000000Z","updated_at":"2026-11-23T12:00:00.000000Z","delivery_type":"activemq","client_ip":null,"client_location":"","connected_at":null,"disconnected_at":null,"last_activity":null,"message_filters":{},"messages_received":0,"messages_sent":0,"messages_dropped":0}`},
		{"logs", `{"app_name":"base_agent","instance_name":"data-1","timestamp":"2026-11-23T07:00:00.25-05:00","level":"20","levelname":"INFO","message":"hi","module":"m","funcname":"f","lineno":1,"process":2,"thread":140000000000000,"extra_data":{"run_id":"1"},"unknown":1}`,
			`{"id":1,"app_name":"base_agent","instance_name":"data-1","timestamp":"2026-11-23T12:00:00.250000Z","level":20,"levelname":"INFO","message":"hi","module":"m","funcname":"f","lineno":1,"process":2,"thread":140000000000000,"extra_data":{"run_id":"1"}}`},
		{"workflow-definitions", strings.Replace(definitionBody, "1.0", "1.1", 1),
			`{"id":2,"workflow_name":"stf_datataking","version":"1.1","workflow_type":"simulation","definition":"pass","parameter_values":{"b":2,"a":1.50},"created_by":"ann","created_at":"2026-11-23T12:00:00.000000Z","updated_at":"2026-11-23T12:00:00.000000Z"}`},
		{"workflow-executions", executionBody,
			`{"execution_id":"stf_datataking-ann.b-0001","namespace":"ns","parameter_values":{"x":{"y":1}},"performance_metrics":null,"status":"running","start_time":"2026-11-23T11:00:00.123456Z","end_time":null,"executed_by":"ann.b","workflow_definition":1}`},
		{"runs", `{"run_number":"100011","start_time":"2026-11-23T11:00:00","run_conditions":{}}`,
			`{"run_id":2,"run_number":100011,"start_time":"2026-11-23T11:00:00.000000Z","end_time":null,"run_conditions":{}}`},
		{"run-states", `{"run_number":"100010","phase":"initializing","state":"imminent","substate":"preparing","target_worker_count":2,"active_worker_count":0,"stf_samples_received":0,"slices_created":0,"slices_queued":0,"slices_processing":0,"slices_completed":0,"slices_failed":0,"state_changed_at":"2026-11-23T11:00:00","metadata":{"execution_id":"e"}}`,
			`{"run_number":100010,"phase":"initializing","state":"imminent","substate":"preparing","target_worker_count":2,"active_worker_count":0,"stf_samples_received":0,"slices_created":0,"slices_queued":0,"slices_processing":0,"slices_completed":0,"slices_failed":0,"state_changed_at":"2026-11-23T11:00:00.000000Z","created_at":"2026-11-23T12:00:00.000000Z","updated_at":"2026-11-23T12:00:00.000000Z","metadata":{"execution_id":"e"}}`},
		{"system-state-events", `{"timestamp":"2026-11-23T11:00:00","run_number":"100010","event_type":"start_run","state":"run","substate":null,"event_data":{"a":1}}`,
			`{"event_id":1,"timestamp":"2026-11-23T11:00:00.000000Z","run_number":100010,"event_type":"start_run","state":"run","substate":null,"event_data":{"a":1}}`},
		{"systemagents", `{"instance_name":"a","agent_type":"data"}`,
			`{"id":1,"instance_name":"a","agent_type":"data","description":"","status":"UNKNOWN","last_heartbeat":null,"agent_url":null,"workflow_enabled":true,"current_stf_count":0,"total_stf_processed":0,"last_stf_processed":null,"pid":null,"hostname":null,"operational_state":"STARTING","namespace":null,"metadata":null,"created_at":"2026-11-23T12:00:00.000000Z","updated_at":"2026-11-23T12:00:00.000000Z"}`},
	}
	for _, c := range cases {
		t.Run(c.path, func(t *testing.T) {
			s.json("POST", "/api/"+c.path+"/", c.body).want(t, 201, c.want)
			if items := s.list("/api/" + c.path + "/"); len(items) == 0 {
				t.Error("it is not in the list")
			}
		})
	}
}

func TestSTFFiles(t *testing.T) {
	s := newSite(t, token)
	s.seed()
	file := s.must(201, "POST", "/api/stf-files/", `{"run":1,"stf_filename":"swf.100010.000001.stf","file_size_bytes":null,"machine_state":"physics","status":"registered","metadata":{"created_by":"a","sequence":1}}`)
	id, _ := file["file_id"].(string)
	if len(id) != 36 || file["checksum"] != nil || file["tf_count"] != nil || file["run"] != 1.0 {
		t.Fatalf("got %v", file)
	}
	file = s.must(200, "PATCH", "/api/stf-files/"+id+"/", `{"status":"processed","metadata":{"done":true}}`)
	if m := file["metadata"].(map[string]any); len(m) != 1 || m["done"] != true {
		t.Errorf("metadata is not replaced: %v", m)
	}
	for n := range 4 {
		s.clock.Advance(1e9)
		s.must(201, "POST", "/api/stf-files/", fmt.Sprintf(`{"run":"1","stf_filename":"f%d"}`, n))
	}
	if got := s.list("/api/stf-files/?run_number=100010"); len(got) != 5 || got[0]["stf_filename"] != "f3" {
		t.Errorf("by run: %v", got)
	}
	if got := s.list("/api/stf-files/?run_number=7&nonsense=1"); len(got) != 0 {
		t.Errorf("by another run: %v", got)
	}
	if got := s.list("/api/stf-files/?status=processed"); len(got) != 1 {
		t.Errorf("by status: %v", got)
	}
	if got := s.list("/api/stf-files/?limit=many"); len(got) != 5 {
		t.Errorf("with a limit that is none: %v", got)
	}
	s.json("GET", "/api/stf-files/?run_number=x", "").want(t, 400, `{"run_number":"must be an integer run number"}`)
	s.json("GET", "/api/stf-files/?run_number=-1", "").want(t, 400, `{"run_number":"must be an integer run number"}`)
	s.json("GET", "/api/stf-files/?workflow_id=x", "").want(t, 400, `{"workflow_id":"must be a UUID"}`)
	s.json("GET", "/api/stf-files/?run_number=7&limit=2", "").want(t, 200, `{"count":0,"next":null,"previous":null,"results":[]}`)

	page := s.must(200, "GET", "/api/stf-files/?limit=2&offset=2&run_number=100010", "")
	next, previous := s.url+"/api/stf-files/?limit=2&offset=4&run_number=100010", s.url+"/api/stf-files/?limit=2&run_number=100010"
	if page["count"] != 5.0 || len(page["results"].([]any)) != 2 || page["next"] != next || page["previous"] != previous {
		t.Errorf("got %v", page)
	}
	if page = s.must(200, "GET", "/api/stf-files/?limit=2&offset=4", ""); page["next"] != nil || len(page["results"].([]any)) != 1 {
		t.Errorf("last page: %v", page)
	}
}

func TestFilters(t *testing.T) {
	s := newSite(t, token)
	s.seed()
	for i, status := range []string{"running", "completed", "running"} {
		body := strings.NewReplacer("-0001", fmt.Sprintf("-000%d", i+1), `"running"`, `"`+status+`"`, "11:00:00", fmt.Sprintf("11:00:0%d", i)).Replace(executionBody)
		s.must(201, "POST", "/api/workflow-executions/", body)
	}
	got := s.list("/api/workflow-executions/?status=running")
	if len(got) != 2 || got[0]["execution_id"] != "stf_datataking-ann.b-0003" {
		t.Errorf("newest first by status: %v", got)
	}
	for query, want := range map[string]int{"": 3, "?workflow_name=x": 3, "?status=": 3, "?namespace=other": 0, "?executed_by=ann.b&status=completed": 1} {
		if got := s.list("/api/workflow-executions/" + query); len(got) != want {
			t.Errorf("%s: %d executions, want %d", query, len(got), want)
		}
	}
	if got := s.list("/api/workflow-definitions/?workflow_name=stf_datataking&version=9"); len(got) != 0 {
		t.Errorf("definitions: %v", got)
	}
	s.json("GET", "/api/system-state-events/?run_number=x", "").want(t, 400, `{"run_number":["Enter a number."]}`)
}

func TestDetail(t *testing.T) {
	s := newSite(t, token)
	s.seed()
	s.must(201, "POST", "/api/workflow-executions/", executionBody)
	if got := s.must(200, "GET", "/api/workflow-executions/stf_datataking-ann.b-0001/", ""); got["executed_by"] != "ann.b" {
		t.Errorf("an id with a dot: %v", got)
	}
	s.json("GET", "/api/workflow-executions/none/", "").want(t, 404, `{"detail":"No WorkflowExecution matches the given query."}`)
	s.json("GET", "/api/runs/x/", "").want(t, 404, `{"detail":"No Run matches the given query."}`)
	s.json("PATCH", "/api/runs/99/", `{"end_time":"nonsense"}`).want(t, 404, `{"detail":"No Run matches the given query."}`)
	s.json("GET", "/api/nothing/", "").want(t, 404, `{"detail":"Not found."}`)
	s.json("GET", "/api/runs/1/2/", "").want(t, 404, `{"detail":"Not found."}`)
	if run := s.must(200, "PATCH", "/api/runs/1/", `{"end_time":"2026-11-23T13:00:00","run_id":9}`); run["end_time"] != "2026-11-23T13:00:00.000000Z" || run["run_id"] != 1.0 {
		t.Errorf("PATCH run: %v", run)
	}
	s.json("PUT", "/api/runs/1/", `{"run_number":5}`).want(t, 400, `{"start_time":["This field is required."]}`)
	s.json("DELETE", "/api/runs/1/", "").want(t, 204, "")
	s.json("GET", "/api/runs/1/", "").want(t, 404, `{"detail":"No Run matches the given query."}`)
}
