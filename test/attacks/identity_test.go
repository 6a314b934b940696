package attacks

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/audit"
	"github.com/epic-swf/testbed/swf"
)

// onBob are the calls by which somebody reaches for Bob's testbed.
var onBob = []struct {
	tool      string
	arguments map[string]any
}{
	{"check_agent_manager", map[string]any{"username": bob}},
	{"start_user_testbed", map[string]any{"username": bob}},
	{"stop_user_testbed", map[string]any{"username": bob, "confirm": true}},
	{"start_workflow", map[string]any{"username": bob}},
	{"get_testbed_status", map[string]any{"username": bob}},
	{"list_agents", map[string]any{"username": bob}},
	{"list_workflow_executions", map[string]any{"username": bob}},
	{"list_logs", map[string]any{"username": bob}},
	{"get_agent_log", map[string]any{"username": bob, "program": "data-agent"}},
}

// TestAttack01AnothersTestbed: Ann calls every tool on Bob's testbed.
func TestAttack01AnothersTestbed(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	everyTransport(t, s, func(t *testing.T, connect func(string) *client) {
		c, before := connect(ann), len(s.records())
		for _, call := range onBob {
			if a := c.call(t, call.tool, call.arguments); !a.Failed || a.code() != "forbidden" {
				t.Errorf("%s: %s", call.tool, a.Raw)
			}
		}
		list := s.recordsOf(ann, before)
		if len(list) != len(onBob) {
			t.Fatalf("%d audit records of %d calls", len(list), len(onBob))
		}
		for i, r := range list {
			if r.Action != onBob[i].tool || r.Target != bob || r.Decision != audit.Refused || r.From.Transport == "" || r.CallID == "" {
				t.Errorf("%+v", r)
			}
		}
	})
	if n := len(s.sent.to(bob)); n != 0 {
		t.Errorf("%d messages for Bob's manager", n)
	}
}

// twins are names that look like Bob's, or become it when somebody is helpful.
var twins = []string{"Bob", "BOB", "bob ", " bob", "bob\n", "bob\t", "bob\x00", "b\u200bob", "\ufeffbob", "ｂｏｂ", "bоb", "bob\u0301",
	"%62ob", "bob%00", "bob;ann", "bob,ann", "../bob", "./bob", "bob/..", "bob/../ann", "ann/../bob", "*", ">", "bob.control", "$(id)", "~bob", strings.Repeat("b", 33)}

// TestAttack02TwinsOfAName: whatever is no username is refused by the pattern
// and never made into one.
func TestAttack02TwinsOfAName(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	everyTransport(t, s, func(t *testing.T, connect func(string) *client) {
		for _, who := range []string{ann, carol} { // Carol may act on Bob's testbed, but not on a twin's
			c := connect(who)
			for i, twin := range twins {
				call := onBob[i%len(onBob)]
				arguments := maps.Clone(call.arguments)
				arguments["username"] = twin
				if a := c.call(t, call.tool, arguments); !a.Failed || a.code() != "invalid_argument" {
					t.Errorf("%s by %s for %q: %s", call.tool, who, twin, a.Raw)
				}
			}
		}
	})
	if n := len(s.sent.to(bob)) + len(s.sent.to(ann)); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
}

// TestAttack03AnothersExecution: Bob's execution answers Ann like one that
// does not exist, to the letter.
func TestAttack03AnothersExecution(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	const real, none = "stf_datataking-bob-0001", "stf_datataking-bob-0002"
	s.running(bob, real)
	everyTransport(t, s, func(t *testing.T, connect func(string) *client) {
		c := connect(ann)
		for _, tool := range []string{"stop_workflow", "get_workflow_execution"} {
			is, isNot := c.call(t, tool, map[string]any{"execution_id": real}), c.call(t, tool, map[string]any{"execution_id": none})
			if is.code() != "unknown_execution" || strings.ReplaceAll(is.Raw, real, none) != isNot.Raw {
				t.Errorf("%s:\n%s\n%s", tool, is.Raw, isNot.Raw)
			}
		}
	})
	if n := len(s.sent.to(bob)); n != 0 {
		t.Errorf("%d messages for Bob's manager", n)
	}
	if e, err := s.monitorClient().Execution(t.Context(), real); err != nil || e.Status != swf.ExecutionRunning {
		t.Errorf("Bob's execution: %+v, %v", e, err)
	}
}

// TestAttack04AnothersNamespace: a workflow starts in the namespace of Ann's own
// testbed or not at all, whoever's manager beat last.
func TestAttack04AnothersNamespace(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.startManager(ann)
	namespace := "ns-bob"
	if err := s.monitorClient().Heartbeat(t.Context(), swf.Heartbeat{InstanceName: swf.ManagerInstance(bob), AgentType: swf.AgentTypeManager,
		Status: swf.StatusOK, OperationalState: swf.OpReady, Namespace: &namespace}); err != nil {
		t.Fatal(err)
	}
	everyTransport(t, s, func(t *testing.T, connect func(string) *client) {
		if a := connect(ann).call(t, "start_workflow", nil); a.Fields["username"] != ann || a.code() != "not_running" {
			t.Errorf("in none, while Ann's testbed is down: %s", a.Raw)
		}
	})
	if a := dial(t, s, transports[1], "2025-11-25", ann).call(t, "start_user_testbed", nil); a.Outcome != "succeeded" {
		t.Fatalf("start: %+v", a)
	}
	everyTransport(t, s, func(t *testing.T, connect func(string) *client) {
		if a := connect(ann).call(t, "start_workflow", map[string]any{"namespace": namespace}); a.code() != "wrong_namespace" || !strings.Contains(a.Text, "ns-ann") {
			t.Errorf("in Bob's: %s", a.Raw)
		}
	})
	for _, m := range s.sent.to(ann) {
		var cmd struct{ Username string }
		if decode(t, m.Body, &cmd); cmd.Username != ann {
			t.Errorf("sent: %s", m.Body)
		}
	}
	if n := len(s.sent.to(bob)); n != 0 {
		t.Errorf("%d messages for Bob's manager", n)
	}
}

// TestAttack05AnOldVersion: the verdict is the same to the letter over every
// transport and in every version, also in one that there is not.
func TestAttack05AnOldVersion(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	verdicts := func(t *testing.T, c *client) (all string) {
		for _, call := range onBob {
			a := c.call(t, call.tool, call.arguments)
			all += fmt.Sprintln(call.tool, a.code(), a.Error.Message, a.Error.Hint, a.Failed)
		}
		return all
	}
	want := verdicts(t, dial(t, s, transports[1], "2025-11-25", ann))
	everyTransport(t, s, func(t *testing.T, connect func(string) *client) {
		if got := verdicts(t, connect(ann)); got != want {
			t.Errorf("differs:\n%s\n%s", got, want)
		}
	})
	c := &client{s: s, username: ann, version: "1999-01-01", waiting: map[string]chan reply{}}
	c.wire = openPipe(t, c)
	raw, err := c.ask("initialize", map[string]any{"protocolVersion": c.version, "capabilities": map[string]any{}, "clientInfo": map[string]any{"name": "old", "version": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	var hello struct{ ProtocolVersion string }
	if decode(t, raw, &hello); hello.ProtocolVersion == c.version {
		t.Error("the server speaks a version that there is not")
	}
	if got := verdicts(t, c); got != want {
		t.Errorf("differs:\n%s\n%s", got, want)
	}
	c.version = "2031-01-01" // a modern one of the future
	if raw, err := c.ask("tools/call", map[string]any{"name": "stop_user_testbed", "arguments": map[string]any{"username": bob, "confirm": true}}); err == nil && !strings.Contains(string(raw), "forbidden") {
		t.Errorf("from the future: %s", raw)
	}
}

// TestAttack08AStolenCommand: the id of Ann's command tells Bob nothing, and
// her key, used by him, is another command.
func TestAttack08AStolenCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.startManager(ann)
	s.startManager(bob)
	started := dial(t, s, transports[1], "2025-11-25", ann).call(t, "start_user_testbed", map[string]any{"command_id": "anns-key"})
	if started.Outcome != "succeeded" {
		t.Fatalf("start: %+v", started)
	}
	before := s.users[ann].programs()
	everyTransport(t, s, func(t *testing.T, connect func(string) *client) {
		c := connect(bob)
		never := "k-" + strings.Repeat("0", 32)
		stolen, unknown := lookup(t, c, started.CommandID), lookup(t, c, never)
		if strings.ReplaceAll(stolen, started.CommandID, never) != unknown || strings.Contains(stolen, "succeeded") {
			t.Errorf("the stolen id: %s\none that never was: %s", stolen, unknown)
		}
		if got := lookup(t, c, "anns-key"); strings.Contains(got, "succeeded") {
			t.Errorf("her key: %s", got)
		}
		if a := c.call(t, "get_testbed_status", map[string]any{"command_id": started.CommandID, "username": ann}); a.code() != "forbidden" {
			t.Errorf("on her testbed: %s", a.Raw)
		}
	})
	if a := dial(t, s, transports[1], "2025-11-25", bob).call(t, "stop_user_testbed", map[string]any{"command_id": "anns-key"}); a.Outcome != "succeeded" || a.CommandID == started.CommandID {
		t.Errorf("Bob's own command under the same key: %+v", a)
	}
	if after := s.users[ann].programs(); after != before {
		t.Errorf("Ann's testbed was:\n%s\nand is:\n%s", before, after)
	}
}

// lookup is what get_testbed_status tells of one command.
func lookup(t *testing.T, c *client, id string) string {
	t.Helper()
	a := c.call(t, "get_testbed_status", map[string]any{"command_id": id})
	b, err := json.Marshal(a.Fields["command"])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
