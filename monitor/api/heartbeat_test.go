package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

func (s *site) beat(status int, body string) map[string]any {
	s.t.Helper()
	return s.must(status, "POST", "/api/systemagents/heartbeat/", body)
}

func TestHeartbeat(t *testing.T) {
	s := newSite(t, token)
	agent := s.beat(201, `{"instance_name":"DATA-agent-ann-1","agent_type":"DATA","status":"WARNING","description":"d","mq_connected":false,"pid":7,"hostname":"h","operational_state":"READY","namespace":"ns","workflow_enabled":true,"current_stf_count":2,"total_stf_processed":"3","metadata":{"supervisord_healthy":true}}`)
	for field, want := range map[string]any{"agent_type": "DATA", "status": "WARNING", "pid": 7.0, "namespace": "ns",
		"total_stf_processed": 3.0, "last_heartbeat": "2026-11-23T12:00:00.000000Z"} {
		if agent[field] != want {
			t.Errorf("%s: %v, want %v", field, agent[field], want)
		}
	}
	if m, _ := agent["metadata"].(map[string]any); m["supervisord_healthy"] != true {
		t.Errorf("metadata: %v", agent["metadata"])
	}
	s.clock.Advance(time.Minute)
	agent = s.beat(200, `{"instance_name":"DATA-agent-ann-1"}`)
	for field, want := range map[string]any{"id": 1.0, "agent_type": "other", "status": "OK", "description": "", "namespace": nil,
		"metadata": nil, "pid": 7.0, "operational_state": "READY", "hostname": "h", "last_heartbeat": "2026-11-23T12:01:00.000000Z"} {
		if agent[field] != want {
			t.Errorf("after a bare heartbeat, %s: %v, want %v", field, agent[field], want)
		}
	}
	if got := s.list("/api/systemagents/"); len(got) != 1 {
		t.Errorf("agents: %v", got)
	}
	if got := s.list("/api/systemagents/?instance_name=other"); len(got) != 0 {
		t.Errorf("another name: %v", got)
	}
	if got := s.must(200, "PATCH", "/api/systemagents/1/", `{"operational_state":"EXITED"}`); got["operational_state"] != "EXITED" {
		t.Errorf("PATCH: %v", got)
	}
}

// TestHeartbeatTooLong: what PostgreSQL would fail on is refused.
func TestHeartbeatTooLong(t *testing.T) {
	s := newSite(t, token)
	for field, max := range map[string]int{"status": 10, "agent_type": 20, "operational_state": 20, "instance_name": 100, "hostname": 100, "namespace": 100} {
		body := fmt.Sprintf(`{"instance_name":"a","%s":"%s"}`, field, strings.Repeat("é", max+1))
		if field == "instance_name" {
			body = fmt.Sprintf(`{"instance_name":"%s"}`, strings.Repeat("é", max+1))
		}
		s.json("POST", "/api/systemagents/heartbeat/", body).want(t, 400,
			fmt.Sprintf(`{"%s":["Ensure this field has no more than %d characters."]}`, field, max))
	}
	s.json("POST", "/api/systemagents/heartbeat/", `{"instance_name":"a","pid":99999999999}`).want(t, 400,
		`{"pid":["Ensure this value is less than or equal to 2147483647."]}`)
}

// TestLateHeartbeat: an old heartbeat revives nothing, whoever beats by then.
func TestLateHeartbeat(t *testing.T) {
	s := newSite(t, token)
	of := func(instance string, seq int, state string) string {
		return fmt.Sprintf(`{"instance_name":"agent-manager-ann","agent_type":"agent_manager","status":"OK","operational_state":"%s","metadata":{"instance":"%s","seq":%d}}`, state, instance, seq)
	}
	steps := []struct {
		body, want string
	}{
		{of("A", 2, "READY"), "READY"},
		{of("A", 4, "EXITED"), "EXITED"},
		{of("A", 3, "READY"), "EXITED"},
		{of("A", 4, "READY"), "EXITED"},
		{of("B", 1, "STARTING"), "STARTING"},
		{of("A", 3, "EXITED"), "STARTING"},
		{of("B", 2, "EXITED"), "EXITED"},
		{of("A", 3, "READY"), "EXITED"},
		{of("B", 3, "READY"), "READY"},
		{`{"instance_name":"agent-manager-ann","operational_state":"EXITED"}`, "EXITED"}, // a Python one has no order
		{of("B", 2, "READY"), "EXITED"},
	}
	for i, step := range steps {
		status := 200
		if i == 0 {
			status = 201
		}
		if got := s.beat(status, step.body)["operational_state"]; got != step.want {
			t.Errorf("step %d, %s: %v, want %s", i, step.body, got, step.want)
		}
	}
}

func TestStaleAgentsExit(t *testing.T) {
	s := newSite(t, token)
	s.beat(201, `{"instance_name":"a","operational_state":"READY"}`)
	s.clock.Advance(2 * time.Minute)
	s.beat(201, `{"instance_name":"b","operational_state":"READY"}`)
	for _, step := range []struct {
		advance time.Duration
		exited  int64
	}{{59 * time.Second, 0}, {2 * time.Second, 1}, {0, 0}, {2 * time.Minute, 1}} {
		s.clock.Advance(step.advance)
		if n, err := s.store.Sweep(context.Background()); err != nil || n != step.exited {
			t.Errorf("after %v more: %d, %v; want %d", step.advance, n, err, step.exited)
		}
	}
	agent := s.list("/api/systemagents/")[0]
	if agent["status"] != "EXITED" || agent["operational_state"] != "EXITED" {
		t.Errorf("got %v", agent)
	}
	if agent = s.beat(200, `{"instance_name":"a","operational_state":"READY"}`); agent["operational_state"] != "READY" {
		t.Errorf("a heartbeat does not bring it back: %v", agent)
	}
}
