package attacks

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// six are the users of the matrix, and what their tools are called with.
var six = []string{"ann", "bob", "dave", "erin", "frank", "grace"}

// reaches are calls of every tool on somebody's testbed.
func reaches(victim string) map[string][]map[string]any {
	execution := "stf_datataking-" + victim + "-0001"
	whose := map[string]any{"username": victim}
	with := func(name string, value any) map[string]any {
		m := maps.Clone(whose)
		m[name] = value
		return m
	}
	return map[string][]map[string]any{
		"check_agent_manager":      {whose},
		"start_user_testbed":       {whose, with("config_name", "testbed.toml"), with("command_id", "k")},
		"stop_user_testbed":        {whose, with("confirm", true), with("command_id", "k")},
		"start_workflow":           {whose, with("namespace", "ns-"+victim), {"namespace": "ns-" + victim}},
		"stop_workflow":            {{"execution_id": execution}},
		"get_testbed_status":       {whose, with("command_id", "k"), {"command_id": victim + "-key"}},
		"list_agents":              {whose},
		"list_workflow_executions": {whose},
		"get_workflow_execution":   {{"execution_id": execution}},
		"list_logs":                {whose, {"execution_id": execution}, {"instance_name": "data-agent-" + victim + "-1"}},
		"list_messages":            {{"execution_id": execution}, {"namespace": "ns-" + victim}},
		"get_agent_log":            {with("program", "data-agent")},
	}
}

// TestMatrixOfSixUsers: six users with a testbed each, every one calling every
// tool on every other's, at once, over all transports: nobody's testbed,
// executions or secrets are touched or seen. It belongs to attack 1 and promise
// P12.
func TestMatrixOfSixUsers(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{users: six[2:]})
	before := map[string]string{}
	for i, name := range six {
		s.startManager(name)
		s.running(name, "stf_datataking-"+name+"-0001")
		s.secretLog(name)
		if i < 2 { // two real testbeds are enough to see a process touched
			if a := dial(t, s, transports[1], "2026-07-28", name).call(t, "start_user_testbed", map[string]any{"command_id": name + "-key"}); a.Outcome != "succeeded" {
				t.Fatalf("start of %s: %+v", name, a)
			}
		}
		before[name] = s.users[name].programs()
	}
	published, records := s.published(), len(s.records())
	var wg sync.WaitGroup
	var mu sync.Mutex
	calls, refused, seen := 0, 0, 0
	for i, name := range six {
		tr := transports[i%len(transports)]
		c := dial(t, s, tr, tr.versions[i%len(tr.versions)], name)
		wg.Go(func() {
			for _, victim := range six {
				if victim == name {
					continue
				}
				for tool, list := range reaches(victim) {
					for _, arguments := range list {
						a, err := c.try(t, tool, arguments)
						mu.Lock()
						calls++
						if err != nil || a.Failed {
							refused++
						}
						if told := a.Raw; strings.Contains(told, secretOf(victim)) || strings.Contains(told, "sup.sock") {
							seen++
							t.Errorf("%s was told of %s by %s %v: %s", name, victim, tool, arguments, told)
						}
						mu.Unlock()
					}
				}
			}
		})
	}
	wg.Wait()
	effects := 0
	for _, name := range six {
		if after := s.users[name].programs(); after != before[name] {
			effects++
			t.Errorf("the testbed of %s was:\n%s\nand is:\n%s", name, before[name], after)
		}
		e, err := s.monitorClient().Execution(t.Context(), "stf_datataking-"+name+"-0001")
		if err != nil || e.Status != swf.ExecutionRunning {
			effects++
			t.Errorf("the execution of %s: %+v, %v", name, e, err)
		}
	}
	crossed := s.crossed(published)
	for _, r := range s.records()[records:] {
		if r.Part == "manager" && r.Who != r.Target && r.Decision == "allowed" {
			crossed++
			t.Errorf("a manager has obeyed another: %+v", r)
		}
	}
	t.Logf("6 users, %d calls on each other's testbeds (%d refused): %d cross effects, %d messages for another's manager, %d answers with another's data", calls, refused, effects, crossed, seen)
	if effects+crossed+seen > 0 || calls < 6*5*len(reaches("x")) {
		t.Fail()
	}
}

// secretOf is in what a user's agents say, and in nobody else's answers.
func secretOf(username string) string { return "the-secret-of-" + username }

func (s *site) secretLog(username string) {
	s.t.Helper()
	err := s.monitorClient().PostLog(s.t.Context(), swf.LogEntry{AppName: "base_agent", InstanceName: "data-agent-" + username + "-1", Timestamp: swf.At(time.Now()),
		Level: 40, LevelName: "ERROR", Message: secretOf(username), Module: "m", FuncName: "f",
		ExtraData: fmt.Appendf(nil, `{"username":%q,"execution_id":"stf_datataking-%s-0001"}`, username, username)})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) published() int {
	s.sent.mu.Lock()
	defer s.sent.mu.Unlock()
	return len(s.sent.all)
}

// crossed counts the commands since the first n messages that somebody's call
// has sent to another's manager.
func (s *site) crossed(n int) (crossed int) {
	s.sent.mu.Lock()
	defer s.sent.mu.Unlock()
	for _, m := range s.sent.all[n:] {
		var cmd struct {
			Username string
			IssuedBy string `json:"issued_by"`
		}
		if decode(s.t, m.Body, &cmd); cmd.IssuedBy != "" && cmd.IssuedBy != cmd.Username {
			crossed++
			s.t.Errorf("to %s: %s", m.Destination, m.Body)
		}
	}
	return crossed
}
