package api_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
)

// TestExecutionEnds: what PATCH may do to an execution.
func TestExecutionEnds(t *testing.T) {
	const now, end = "2026-11-23T12:00:00.000000Z", "2026-11-23T11:30:00.000000Z"
	const python = `{"status":"completed","end_time":"2026-11-23T11:30:00"}`
	cases := []struct {
		name    string
		patches []string
		status  string
		end     any
	}{
		{"it runs", nil, "running", nil},
		{"completed as the Python runner does", []string{python}, "completed", end},
		{"and then terminated as it does", []string{python, `{"status":"terminated","end_time":null}`}, "terminated", end},
		{"failed without an end", []string{`{"status":"failed","end_time":null}`}, "failed", now},
		{"an end alone", []string{`{"end_time":"2026-11-23T11:30:00Z"}`}, "running", end},
		{"a status of their own", []string{`{"status":"paused"}`}, "paused", nil},
	}
	s := newSite(t, token)
	s.seed()
	for i, c := range cases {
		path := fmt.Sprintf("/api/workflow-executions/e-%d/", i)
		s.must(201, "POST", "/api/workflow-executions/", fmt.Sprintf(`{"execution_id":"e-%d","workflow_definition":1,"status":"running","executed_by":"a","start_time":"2026-11-23T11:00:00","parameter_values":{}}`, i))
		for _, patch := range c.patches {
			s.must(200, "PATCH", path, patch)
		}
		if got := s.must(200, "GET", path, ""); got["status"] != c.status || got["end_time"] != c.end {
			t.Errorf("%s: %v %v, want %s %v", c.name, got["status"], got["end_time"], c.status, c.end)
		}
	}
	s.json("PATCH", "/api/workflow-executions/e-2/", `{"status":"running"}`).want(t, 400,
		`{"status":["A workflow execution that is terminated cannot become running."]}`)
	s.json("PATCH", "/api/workflow-executions/none/", `{"status":"running"}`).want(t, 404,
		`{"detail":"No WorkflowExecution matches the given query."}`)
}

func TestAllocators(t *testing.T) {
	s := newSite(t, token)
	s.json("POST", "/api/state/next-run-number/", "").want(t, 200, `{"run_number":100010,"status":"success"}`)
	s.json("POST", "/api/state/next-workflow-execution-id/", `{"workflow_name":"w"}`).want(t, 200, `{"sequence":1,"status":"success"}`)
	s.json("POST", "/api/state/next-agent-id/", "").want(t, 200, `{"agent_id":1,"status":"success"}`)

	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[float64]bool{}
	for range 8 {
		wg.Go(func() {
			for range 25 {
				n, _ := s.must(200, "POST", "/api/state/next-run-number/", "")["run_number"].(float64)
				mu.Lock()
				if seen[n] || n < 100011 || n > 100210 {
					t.Errorf("number %s twice or out of order", strconv.FormatFloat(n, 'f', -1, 64))
				}
				seen[n] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestNamespaces(t *testing.T) {
	s := newSite(t, token)
	s.json("POST", "/api/namespaces/ensure/", `{"name":"ns","owner":"ann","description":"d"}`).want(t, 200,
		`{"created":true,"description":"d","name":"ns","owner":"ann","status":"success"}`)
	s.json("POST", "/api/namespaces/ensure/", `{"name":"ns","owner":"bob"}`).want(t, 200,
		`{"created":false,"description":"d","name":"ns","owner":"ann","status":"success"}`)
}

func TestLogSummary(t *testing.T) {
	s := newSite(t, token)
	post := func(instance, level, name string, n int) {
		t.Helper()
		s.send("POST", "/api/logs/", "", "application/json", fmt.Sprintf(`{"app_name":"app","instance_name":"%s","timestamp":"2026-11-23T11:00:%02d","level":%s,"levelname":"%s","message":"m%d","module":"m","funcname":"f","lineno":1,"process":1,"thread":1}`, instance, n, level, name, n))
	}
	for n := range 7 {
		post("one", "40", "ERROR", n)
	}
	post("one", "50", "CRITICAL", 8)
	post("two", "20", "INFO", 1)
	got := s.must(200, "GET", "/api/logs/summary/", "")["app"].(map[string]any)
	one := got["one"].(map[string]any)
	recent := one["recent_errors"].([]any)
	if counts := one["error_counts"].(map[string]any); counts["ERROR"] != 7.0 || counts["CRITICAL"] != 1.0 {
		t.Errorf("counts: %v", counts)
	}
	if len(recent) != 5 || recent[0].(map[string]any)["message"] != "m8" || recent[4].(map[string]any)["message"] != "m3" {
		t.Errorf("recent: %v", recent)
	}
	if len(got) != 1 {
		t.Errorf("instances without errors are listed: %v", got)
	}
	if logs := s.list("/api/logs/?instance_name=one"); len(logs) != 8 || logs[0]["message"] != "m8" {
		t.Errorf("logs: %v", logs)
	}
}

// TestListsAreBounded: more records than a list shows are told, and reachable.
func TestListsAreBounded(t *testing.T) {
	s := newSite(t, token)
	for n := range 1001 {
		s.must(201, "POST", "/api/runs/", fmt.Sprintf(`{"run_number":%d,"start_time":"2026-11-23T11:00:00"}`, n))
	}
	r := s.json("GET", "/api/runs/", "")
	if want := "<" + s.url + `/api/runs/?page_offset=1000>; rel="next"`; r.header.Get("Link") != want {
		t.Errorf("Link %q, want %q", r.header.Get("Link"), want)
	}
	if first := s.list("/api/runs/"); len(first) != 1000 || first[0]["run_number"] != 1000.0 {
		t.Errorf("%d runs, first %v", len(first), first[0])
	}
	if rest := s.list("/api/runs/?page_offset=1000"); len(rest) != 1 || rest[0]["run_number"] != 0.0 {
		t.Errorf("the rest: %v", rest)
	}
}
