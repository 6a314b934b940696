package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/epic-swf/testbed/control"
)

func TestStartTwiceIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.start("testbed.toml").want("namespace", "space", "programs.0.state", "RUNNING", "programs.1.state", "RUNNING")
	again := b.call("start_user_testbed", `{}`)
	again.want("success", "false", "outcome", "refused", "error.code", "agents_running", "running_agents", `["example-data-agent","workflow-runner"]`)
	again.has("error.message", "example-data-agent, workflow-runner", "error.hint", "stop_user_testbed", "how_to_fix", "stop_user_testbed")
	if !again.failed {
		t.Error("a refusal is not marked as an error")
	}
	b.stop()
	b.nothingRuns()
}

func TestUnknownConfigListsWhatThereIs(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	a := b.call("start_user_testbed", `{"config_name":"tesbed"}`).want("outcome", "refused", "error.code", "unknown_config")
	for _, name := range []string{"testbed.toml", "other.toml", "slow.toml", "fast_processing_default.toml", "stf_datataking_default.toml"} {
		a.has("error.hint", name)
	}
	b.nothingRuns()
}

func TestNoManagerSaysHowToStartOne(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.manager.stop()
	for _, tool := range []string{"start_user_testbed", "stop_user_testbed", "start_workflow"} {
		a := b.call(tool, `{}`).want("outcome", "refused", "error.code", "no_manager")
		a.has("how_to_start", "testbed agent-manager", "error.hint", "testbed agent-manager")
	}
	b.call("check_agent_manager", `{}`).want("alive", "false").has("how_to_start", "testbed agent-manager")
	b.call("get_testbed_status", `{}`).want("state", "unknown", "programs", "null", "manager.alive", "false")
	b.nothingRuns()
}

func TestProgramThatCannotRunFailsTheStart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ program, state, reason, log string }{
		{"missing", "STOPPED", "NO_FILE: can't find command '/no/such/command'", ""}, // supervisord does not even try
		{"chatty", "BACKOFF", "Exited too quickly", "these are its last words"},
	} {
		t.Run(tt.program, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, map[string]string{"workflow-runner": sleeper})
			a := b.call("start_user_testbed", fmt.Sprintf(`{"config_name":%q}`, tt.program))
			a.want("outcome", "failed", "error.code", "start_failed").has("error.message", tt.program, "error.message", tt.reason)
			b.nothingRuns()
			found := false
			programs, _ := a.doc["programs"].([]any)
			for i := range programs {
				at := fmt.Sprintf("programs.%d.", i)
				if a.get(at+"name") == tt.program {
					found = true
					a.want(at+"state", tt.state).has(at+"reason", tt.reason, at+"log_tail", tt.log)
				} else {
					a.want(at+"pid", "") // it was stopped again
				}
			}
			if !found {
				t.Errorf("the answer does not list the program: %s", shown(a.doc))
			}
			b.call("get_testbed_status", `{}`).want("state", "stopped")
		})
	}
}

func TestManyStartsAndStopsLeaveOneSupervisordAtMost(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"workflow-runner": sleeper})
	for range 20 {
		b.start("plain")
		if n := programs(b.dir, "supervisord"); n != 1 {
			t.Fatalf("%d supervisord run", n)
		}
		b.stop()
		b.nothingRuns()
	}
}

// TestCommandsInARow: who has been told an outcome may send the next command.
func TestCommandsInARow(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"workflow-runner": sleeper})
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	for range 5 {
		for _, verb := range []control.Verb{control.StartTestbed, control.StopTestbed} {
			r, err := b.client.Ask(ctx, control.Command{Verb: verb, Username: b.user, ConfigName: "plain", IssuedBy: b.user}, nil)
			if err != nil || r.Outcome != control.Succeeded {
				t.Fatalf("%s: %s, %v", verb, shown(r), err)
			}
		}
	}
	b.nothingRuns()
}
