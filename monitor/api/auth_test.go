package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/monitor/api"
)

// TestPermissions is the permission matrix of the contract (1.1).
func TestPermissions(t *testing.T) {
	const (
		none    = ""
		bad     = "Token ffff"
		good    = "Token " + token
		missing = `{"detail":"Authentication credentials were not provided."}`
		invalid = `{"detail":"Invalid token."}`
	)
	s := newSite(t, token)
	cases := []struct {
		method, path, auth string
		status             int
		body               string // "": not compared
	}{
		{"GET", "runs/", none, 200, "[]"},
		{"HEAD", "runs/", none, 200, ""},
		{"GET", "", none, 200, ""},
		{"POST", "runs/", none, 403, missing},
		{"POST", "runs/", "Bearer " + token, 403, missing},
		{"PATCH", "runs/1/", none, 403, missing},
		{"DELETE", "runs/1/", none, 403, missing},
		{"OPTIONS", "runs/", none, 403, missing},
		{"GET", "runs/", bad, 403, invalid},
		{"POST", "runs/", bad, 403, invalid},
		{"POST", "runs/", "Token", 403, `{"detail":"Invalid token header. No credentials provided."}`},
		{"POST", "runs/", "Token a b", 403, `{"detail":"Invalid token header. Token string should not contain spaces."}`},
		{"POST", "runs/", "token " + token, 400, ""},
		{"PUT", "runs/", good, 405, `{"detail":"Method \"PUT\" not allowed."}`},
		{"POST", "systemagents/heartbeat/", none, 403, missing},
		{"GET", "logs/", none, 200, "[]"},
		{"GET", "logs/summary/", none, 200, "{}"},
		{"POST", "logs/", bad, 400, ""}, // the token is not looked at, the body is
		{"GET", "state/next-run-number/", none, 405, `{"detail":"Method \"GET\" not allowed."}`},
		{"POST", "state/next-run-number/", none, 401, missing},
		{"POST", "state/next-run-number/", bad, 401, invalid},
		{"POST", "state/next-agent-id/", none, 401, missing},
		{"POST", "state/next-agent-id/", good, 200, `{"agent_id":1,"status":"success"}`},
		{"GET", "state/next-workflow-execution-id/", none, 405, ""},
		{"POST", "state/next-workflow-execution-id/", none, 403, missing},
		{"POST", "state/next-workflow-execution-id/", bad, 403, invalid},
		{"POST", "namespaces/ensure/", none, 403, missing},
		{"GET", "messages/stream/", none, 401, missing},
		{"GET", "messages/stream/", bad, 401, missing},
		{"HEAD", "messages/stream/", good, 200, ""},
		{"POST", "messages/stream/", none, 405, `{"detail":"Method \"POST\" not allowed."}`},
		{"GET", "messages/stream/status/", none, 403, missing},
		{"GET", "messages/stream/status/", bad, 403, invalid},
		{"GET", "messages/stream/status/", good, 200, `{"client_filters":{},"client_ids":[],"connected_clients":0}`},
		{"GET", "tf-slices/", none, 200, "[]"},
		{"POST", "tf-slices/", none, 403, missing},
		{"DELETE", "fastmon-files/x/", none, 403, missing},
		{"PATCH", "workflow-messages/x/", none, 403, missing},
		{"GET", "workers/", bad, 403, invalid},
		{"GET", "workflows/", none, 200, "[]"},
		{"GET", "workflow-stages/", none, 200, "[]"},
		{"GET", "ai-memory/?username=a", bad, 200, `{"count":0,"items":[]}`},
		{"POST", "ai-memory/record/", none, 400, ""},
	}
	for _, c := range cases {
		r := s.send(c.method, "/api/"+c.path, c.auth, "", "")
		if r.status != c.status || (c.body != "" && r.body != c.body) {
			t.Errorf("%s %s with %q: %d %s, want %d %s", c.method, c.path, c.auth, r.status, r.body, c.status, c.body)
		}
		if got := r.header.Get("WWW-Authenticate"); (c.status == 401) != (got == "Token") {
			t.Errorf("%s %s: WWW-Authenticate %q", c.method, c.path, got)
		}
		if strings.Contains(r.body, token) {
			t.Errorf("%s %s tells the token", c.method, c.path)
		}
	}
}

func TestWithoutTokenAllIsOpen(t *testing.T) {
	s := newSite(t, "")
	s.send("POST", "/api/state/next-run-number/", "", "", "").want(t, 200, `{"run_number":100010,"status":"success"}`)
	s.send("POST", "/api/state/next-run-number/", "Token anything", "", "").want(t, 200, `{"run_number":100011,"status":"success"}`)
}

func TestHealth(t *testing.T) {
	s := newSite(t, token)
	s.send("GET", "/healthz", "", "", "").want(t, 200, `{"status":"ok"}`)
	s.send("POST", "/healthz", "", "", "").want(t, 405, `{"detail":"Method \"POST\" not allowed."}`)
	s.send("GET", "/metrics", "", "", "").want(t, 404, `{"detail":"Not found."}`)
	s.send("GET", "/", "", "", "").want(t, 404, `{"detail":"Not found."}`)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	if r := s.send("GET", "/healthz", "", "", ""); r.status != 503 || strings.Contains(r.body, "sql") {
		t.Errorf("with a closed store: %d %s", r.status, r.body)
	}
}

func TestTrailingSlash(t *testing.T) {
	s := newSite(t, token)
	for path, want := range map[string]string{
		"/api":                             "./api/",
		"/api/runs?x=1":                    "./runs/?x=1",
		"/api/workflow-executions/a.b-1":   "./a.b-1/",
		"/api/workflow-executions/a%2Fb":   "",
		"/api//evil.example":               "",
		"/api/nothing":                     "",
		"/api/systemagents/../../evil":     "",
		"/api/workflow-executions/a%3Ab-1": "./a%3Ab-1/",
	} {
		r := s.send("GET", path, "", "", "")
		if got := r.header.Get("Location"); got != want || (r.status == 301) != (want != "") {
			t.Errorf("GET %s: %d, Location %q, want %q", path, r.status, got, want)
		}
	}
	s.json("POST", "/api/runs", "{}").want(t, 400, `{"detail":"The URL must end in a slash."}`)
}

func TestRoot(t *testing.T) {
	s := newSite(t, token)
	if got := s.must(200, "GET", "/api/", "")["stf-files"]; got != s.url+"/api/stf-files/" {
		t.Errorf("got %v", got)
	}
}

// TestBodiesOfStrangers: who may not write is told so before the body is read,
// and where anybody may write, bodies are small.
func TestBodiesOfStrangers(t *testing.T) {
	s := newSite(t, token)
	long := `{"message":"` + strings.Repeat("x", 100<<10) + `"}`
	if r := s.send("POST", "/api/runs/", "", "application/json", long); r.status != 403 {
		t.Errorf("without a token: %d", r.status)
	}
	if r := s.send("POST", "/api/logs/", "", "application/json", long); r.status != 413 {
		t.Errorf("a long log record: %d", r.status)
	}
	if r := s.json("POST", "/api/systemagents/heartbeat/", `{"instance_name":"a","description":"`+strings.Repeat("x", 100<<10)+`"}`); r.status != 201 {
		t.Errorf("a long heartbeat: %d", r.status)
	}
}

// TestMount: addresses in answers carry the mount point.
func TestMount(t *testing.T) {
	s := newSite(t, token)
	mounted := httptest.NewServer(http.StripPrefix("/swf-monitor", api.New(api.Options{Store: s.store, Token: token})))
	defer mounted.Close()
	s.url = mounted.URL + "/swf-monitor"
	if got := s.must(200, "GET", "/api/", "")["runs"]; got != s.url+"/api/runs/" {
		t.Errorf("got %v", got)
	}
	if got := s.send("GET", "/api/runs", "", "", "").header.Get("Location"); got != "./runs/" {
		t.Errorf("got %v", got)
	}
}
