package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/swf"
)

// roles are tokens of users, as a file of tokens would have them.
func roles(token string) (swf.Principal, bool) {
	name, role, ok := strings.Cut(token, "-token-")
	return swf.Role(role).Principal(name), ok
}

const (
	beatOf       = `{"instance_name":"%s","agent_type":"other","status":"OK"}`
	agentOf      = `{"instance_name":"%s","agent_type":"other"}`
	logOf        = `{"app_name":"a","instance_name":"%s","timestamp":"2026-11-23T10:00:00Z","level":20,"levelname":"INFO","message":"m","module":"m","funcname":"f","lineno":1,"process":1,"thread":1}`
	executionOf  = `{"execution_id":"%s","executed_by":"%s","parameter_values":{},"start_time":"2026-11-23T10:00:00Z","workflow_definition":1}`
	definitionOf = `{"workflow_name":"w","version":"%s","workflow_type":"t","definition":"d","created_by":"%s"}`
	runOf        = `{"run_number":%s,"start_time":"2026-11-23T10:00:00Z"}`
)

// TestOnlyOwnersWrite: with tokens of users, what has an owner is written by
// its owner and by operators, and everything is read as before.
func TestOnlyOwnersWrite(t *testing.T) {
	s := newSiteWith(t, api.Options{Lookup: roles, Token: token, ClosedLogs: true})
	const ann, bob, ops, looks = "Token ann-token-user", "Token bob-token-user", "Token ops-token-operator", "Token ann-token-viewer"
	for _, c := range []struct {
		auth, method, path, body string
		status                   int
	}{
		{ann, "POST", "workflow-definitions/", fmt.Sprintf(definitionOf, "1", "ann"), 201},
		{ann, "POST", "workflow-definitions/", fmt.Sprintf(definitionOf, "2", "bob"), 403},
		{bob, "PATCH", "workflow-definitions/1/", `{"definition":"mine now"}`, 403},

		{ann, "POST", "systemagents/heartbeat/", fmt.Sprintf(beatOf, "agent-manager-ann"), 201},
		{ann, "POST", "systemagents/heartbeat/", fmt.Sprintf(beatOf, "data-agent-ann-1"), 201},
		{ann, "POST", "systemagents/heartbeat/", fmt.Sprintf(beatOf, "agent-manager-bob"), 403},
		{ann, "POST", "systemagents/heartbeat/", fmt.Sprintf(beatOf, "data-agent-bob-1"), 403},
		{ann, "POST", "systemagents/heartbeat/", fmt.Sprintf(beatOf, "data-agent-bob-agent-ann-1"), 403},
		{ann, "POST", "systemagents/heartbeat/", fmt.Sprintf(beatOf, "of-nobody"), 403},
		{ops, "POST", "systemagents/heartbeat/", fmt.Sprintf(beatOf, "agent-manager-bob"), 201},
		{"Token " + token, "POST", "systemagents/heartbeat/", fmt.Sprintf(beatOf, "of-nobody"), 201}, // as Python's tokens
		{looks, "POST", "systemagents/heartbeat/", fmt.Sprintf(beatOf, "agent-manager-ann"), 403},
		{ann, "POST", "systemagents/", fmt.Sprintf(agentOf, "data-agent-bob-9"), 403},
		{bob, "PATCH", "systemagents/1/", `{"status":"EXITED"}`, 403},
		{bob, "DELETE", "systemagents/1/", "", 403},
		{ann, "PATCH", "systemagents/1/", `{"instance_name":"agent-manager-bob2"}`, 403},
		{ann, "PATCH", "systemagents/1/", `{"status":"WARNING"}`, 200},

		{ann, "POST", "workflow-executions/", fmt.Sprintf(executionOf, "w-ann-0001", "ann"), 201},
		{ann, "POST", "workflow-executions/", fmt.Sprintf(executionOf, "w-bob-0002", "bob"), 403},
		{ann, "POST", "workflow-executions/", fmt.Sprintf(executionOf, "w-bob-0002", "ann"), 403}, // would take Bob's next id
		{bob, "PATCH", "workflow-executions/w-ann-0001/", `{"status":"terminated"}`, 403},
		{bob, "DELETE", "workflow-executions/w-ann-0001/", "", 403},
		{ann, "PATCH", "workflow-executions/w-ann-0001/", `{"executed_by":"bob"}`, 403},
		{ann, "PATCH", "workflow-executions/w-ann-0001/", `{"status":"completed"}`, 200},
		{bob, "PATCH", "workflow-executions/w-none-0009/", `{}`, 404},

		{ann, "POST", "logs/", fmt.Sprintf(logOf, "data-agent-ann-1"), 201},
		{ann, "POST", "logs/", fmt.Sprintf(logOf, "data-agent-bob-1"), 403},
		{"", "POST", "logs/", fmt.Sprintf(logOf, "data-agent-ann-1"), 403},
		{"", "GET", "logs/", "", 403},
		{looks, "GET", "logs/", "", 200},
		{"", "GET", "logs/summary/", "", 403},
		{"", "POST", "ai-memory/record/", "{}", 403},

		{ann, "POST", "namespaces/ensure/", `{"name":"ns","owner":"bob"}`, 403},
		{ann, "POST", "namespaces/ensure/", `{"name":"ns","owner":"ann"}`, 200},

		{bob, "POST", "runs/", fmt.Sprintf(runOf, "1"), 201}, // has no owner in the contract
		{looks, "POST", "runs/", fmt.Sprintf(runOf, "2"), 403},
		{"", "GET", "workflow-executions/", "", 200},
		{looks, "GET", "systemagents/", "", 200},
		{"Token wrong", "GET", "systemagents/", "", 403},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, s.url+"/api/"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if c.auth != "" {
			r.Header.Set("Authorization", c.auth)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%q %s %s %s: %d, want %d", c.auth, c.method, c.path, c.body, resp.StatusCode, c.status)
		}
	}
}
