package interop

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// client is an official MCP client that is connected to a testbed.
type client interface {
	// Tools are the names that tools/list gives.
	Tools(t *testing.T) []string
	// Call calls a tool. Each call asks for progress where the client can.
	Call(t *testing.T, tool string, arguments map[string]any) answer
}

// answer is a tool's result as the client understood it.
type answer struct {
	Structured result    `json:"structured"`
	Text       string    `json:"text"`
	IsError    bool      `json:"isError"`
	Progress   []float64 `json:"progress"` // nil: the client cannot tell
	Messages   []string  `json:"messages"` // of the progress
	Asked      []string  `json:"asked"`    // what the person was asked
}

// result is what the answers of all tools have that the session looks at.
type result struct {
	Success          bool   `json:"success"`
	Outcome          string `json:"outcome"`
	CommandID        string `json:"command_id"`
	Alive            *bool  `json:"alive"`
	State            string `json:"state"`
	Ready            *bool  `json:"ready"`
	RunningWorkflows *int   `json:"running_workflows"`
	ExecutionID      string `json:"execution_id"`
	Realtime         *bool  `json:"realtime"`
	Programs         []struct {
		Name, State string
		PID         int
	} `json:"programs"`
	Error    *struct{ Code, Message, Hint string } `json:"error"`
	Inferred bool                                  `json:"inferred"`
	Command  *pythonCommand                        `json:"command"`
}

// pythonCommand is what became of a command to a Python manager.
type pythonCommand struct {
	Outcome  string `json:"outcome"`
	Inferred bool   `json:"inferred"`
	From     string `json:"inferred_from"`
}

// theTools that the session plays; the list has more.
var theTools = []string{"check_agent_manager", "get_testbed_status", "start_user_testbed", "start_workflow", "stop_user_testbed", "stop_workflow"}

func offers(names []string) bool {
	return !slices.ContainsFunc(theTools, func(name string) bool { return !slices.Contains(names, name) })
}

// session plays what an assistant does with a testbed that is stopped, and
// leaves it stopped: every tool, and two workflows, of which one ends by
// itself in simulated time and one is ended.
func session(t *testing.T, c client) {
	t.Helper()
	names := c.Tools(t)
	if !offers(names) {
		t.Fatalf("tools/list gives %v", names)
	}
	if a := c.Call(t, "check_agent_manager", nil); a.IsError || a.Structured.Alive == nil || !*a.Structured.Alive {
		t.Fatalf("the manager is not alive: %+v", a)
	}
	started := succeeds(t, c, "start_user_testbed", map[string]any{"config_name": "testbed.toml"})
	hasProgressed(t, started)
	hasPrograms(t, started.Structured, "RUNNING", true)

	// A refusal is a result that the model can read, on every client.
	again := c.Call(t, "start_user_testbed", nil)
	if e := again.Structured.Error; !again.IsError || e == nil || e.Code != "agents_running" || !strings.Contains(e.Hint+again.Text, "stop_user_testbed") {
		t.Errorf("a second start: %+v", again)
	}

	awaitReady(t, c)
	ran := succeeds(t, c, "start_workflow", map[string]any{"workflow_name": "stf_datataking", "realtime": false, "stf_count": 3})
	if r := ran.Structured.Realtime; r == nil || *r {
		t.Errorf("realtime=false did not arrive: %+v", ran)
	}
	hasExecution(t, ran)
	awaitReady(t, c)

	long := succeeds(t, c, "start_workflow", map[string]any{"realtime": true, "stf_count": 1000})
	hasExecution(t, long)
	if long.Structured.ExecutionID == ran.Structured.ExecutionID {
		t.Errorf("both runs are %s", ran.Structured.ExecutionID)
	}
	running := c.Call(t, "get_testbed_status", map[string]any{"command_id": long.Structured.CommandID}).Structured
	if running.State != "running" || running.RunningWorkflows == nil || *running.RunningWorkflows != 1 {
		t.Errorf("status during the run: %+v", running)
	}
	hasPrograms(t, running, "RUNNING", true)
	succeeds(t, c, "stop_workflow", map[string]any{"execution_id": long.Structured.ExecutionID})

	stopped := succeeds(t, c, "stop_user_testbed", nil)
	hasPrograms(t, stopped.Structured, "STOPPED", false)
	if s := c.Call(t, "get_testbed_status", nil).Structured; s.State != "stopped" {
		t.Errorf("status after the stop: %+v", s)
	}
}

// succeeds calls a tool that commands something.
func succeeds(t *testing.T, c client, tool string, arguments map[string]any) answer {
	t.Helper()
	a := c.Call(t, tool, arguments)
	s := a.Structured
	if a.IsError || !s.Success || s.Outcome != "succeeded" || s.CommandID == "" || s.Error != nil {
		t.Fatalf("%s(%v): %+v", tool, arguments, a)
	}
	if !strings.Contains(a.Text, "succeeded") || !strings.Contains(a.Text, s.CommandID) {
		t.Errorf("%s: the text does not stand alone: %s", tool, a.Text)
	}
	return a
}

// hasPrograms wants those that init enables in that state, and no other alive:
// the supervisord file has programs for further agents too.
func hasPrograms(t *testing.T, r result, state string, alive bool) {
	t.Helper()
	enabled := []string{"workflow-runner", "example-data-agent"}
	names := []string{}
	for _, p := range r.Programs {
		names = append(names, p.Name)
		mine := slices.Contains(enabled, p.Name)
		if mine && (p.State != state || (p.PID != 0) != alive) || !mine && p.PID != 0 {
			t.Errorf("%s is %s with pid %d", p.Name, p.State, p.PID)
		}
	}
	for _, name := range enabled {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not among the programs %v", name, names)
		}
	}
}

func hasExecution(t *testing.T, a answer) {
	t.Helper()
	if id := a.Structured.ExecutionID; !strings.HasPrefix(id, "stf_datataking-") || !strings.Contains(a.Text, id) {
		t.Errorf("execution %q: %s", id, a.Text)
	}
}

// hasProgressed checks what came while the call ran: something, in order, in
// words.
func hasProgressed(t *testing.T, a answer) {
	t.Helper()
	if a.Progress == nil {
		return
	}
	if len(a.Progress) == 0 || len(a.Messages) != len(a.Progress) || slices.Contains(a.Messages, "") {
		t.Errorf("progress %v %q", a.Progress, a.Messages)
	}
	for i := 1; i < len(a.Progress); i++ {
		if a.Progress[i] <= a.Progress[i-1] {
			t.Errorf("progress went back: %v", a.Progress)
		}
	}
}

// awaitReady polls, as the tools tell an assistant to: no workflow runs, and
// every agent has been heard.
func awaitReady(t *testing.T, c client) {
	t.Helper()
	for until := time.Now().Add(limit); ; {
		a := c.Call(t, "get_testbed_status", nil)
		if a.Structured.Ready != nil && *a.Structured.Ready {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("never ready: %s", a.Text)
		}
		time.Sleep(90 * time.Millisecond) // the tools take 10 calls a second
	}
}

// decode reads what a client printed.
func decode(t *testing.T, text []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%v in: %s", err, text)
	}
}
