package tools

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// pythonSet is a Set that commands a Python manager of ann, which beats in
// torre2, and what the manager's status says.
func pythonSet(o Options) (*Set, *manager, *records) {
	pong := &control.Pong{Username: "ann"}
	m := &manager{pong: pong, act: always(control.Reply{Outcome: control.Pending})}
	m.status = pythonStatus()
	mon := &records{agents: []swf.Agent{beat(swf.ManagerInstance("ann"), swf.AgentTypeManager, 7, time.Second)}}
	o.Commander, o.Monitor, o.Queue = m, mon, swf.LegacyControlQueue
	return New(o), m, mon
}

func pythonStatus(programs ...swf.Program) *control.Reply {
	state := swf.TestbedStopped
	if len(programs) > 0 {
		state = swf.TestbedRunning
	}
	return &control.Reply{Outcome: control.Succeeded, Inferred: true, Programs: programs, Pong: &control.Pong{Username: "ann", State: state}}
}

func commandOf(t *testing.T, s *Set, p swf.Principal, id string) *CommandView {
	t.Helper()
	args, _ := json.Marshal(map[string]string{"username": "ann", "command_id": id})
	return call(t, s, p, "get_testbed_status", string(args), nil).Value.(*StatusOut).Command
}

func TestPythonStartIsPendingThenInferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, mon := pythonSet(Options{})
		r := call(t, s, ann, "start_user_testbed", `{"config_name":"testbed.toml"}`, nil)
		out := r.Value.(*StartOut)
		if out.Outcome != control.Pending || !out.Inferred || r.Failed || !strings.Contains(out.Note, "inferred") {
			t.Fatalf("%s", r.Text)
		}
		if v := commandOf(t, s, ann, out.CommandID); v.Outcome != control.Pending || !v.Inferred {
			t.Errorf("before: %+v", v)
		}
		m.status = pythonStatus(twoPrograms()...)
		mon.agents = append(mon.agents, beat("data-agent-ann-9", "DATA", 102, time.Second))
		v := commandOf(t, s, ann, out.CommandID)
		if v.Outcome != control.Succeeded || v.InferredFrom != "its status shows workflow-runner, example-data-agent RUNNING; the monitor hears 1 agents that are new" {
			t.Errorf("after: %+v", v)
		}
		m.status = pythonStatus() // has died since: that changes no outcome
		if v := commandOf(t, s, ann, out.CommandID); v.Outcome != control.Succeeded {
			t.Errorf("later: %+v", v)
		}
		if v := commandOf(t, s, ops, out.CommandID); v.Outcome != control.Succeeded {
			t.Errorf("an operator: %+v", v)
		}
		if v := commandOf(t, s, ann, control.NewID()); v.Outcome != Unknown || v.Error.Code != swf.CodeUnknownID {
			t.Errorf("never sent: %+v", v)
		}
	})
}

// pythonOutcome is a command to a Python manager and what can be inferred of it.
type pythonOutcome struct {
	tool   string
	before *control.Reply
	after  *control.Reply
	agents []swf.Agent // after; one worked before a stop
	want   control.Outcome
	from   string
}

func pythonOutcomes() map[string]pythonOutcome {
	fatal := twoPrograms()
	fatal[1].State = swf.ProgramFatal
	rising := twoPrograms()
	rising[1].State = swf.ProgramStarting
	ended := beat("data-agent-ann-9", "DATA", 102, time.Second)
	ended.OperationalState = swf.OpExited
	return map[string]pythonOutcome{
		"a start that is under way":       {"start_user_testbed", pythonStatus(), pythonStatus(rising...), nil, control.Pending, ""},
		"a start that failed":             {"start_user_testbed", pythonStatus(), pythonStatus(fatal...), nil, control.Failed, "FATAL"},
		"a manager busy with the start":   {"start_user_testbed", pythonStatus(), nil, []swf.Agent{beat("data-agent-ann-9", "DATA", 1, 0)}, control.Pending, ""},
		"it ran perhaps before":           {"start_user_testbed", nil, pythonStatus(twoPrograms()...), nil, control.Pending, ""},
		"new agents prove it":             {"start_user_testbed", nil, pythonStatus(twoPrograms()...), []swf.Agent{beat("data-agent-ann-9", "DATA", 1, 0)}, control.Succeeded, "1 agents"},
		"another user's prove nothing":    {"start_user_testbed", nil, pythonStatus(twoPrograms()...), []swf.Agent{beat("data-agent-bob-9", "DATA", 1, 0)}, control.Pending, ""},
		"a stop":                          {"stop_user_testbed", pythonStatus(twoPrograms()...), pythonStatus(), nil, control.Succeeded, "no program"},
		"a stop of nothing":               {"stop_user_testbed", pythonStatus(), pythonStatus(), nil, control.Succeeded, "no program"},
		"a stop under way":                {"stop_user_testbed", pythonStatus(twoPrograms()...), pythonStatus(rising...), nil, control.Pending, ""},
		"a stop that only the agents say": {"stop_user_testbed", pythonStatus(twoPrograms()...), nil, []swf.Agent{ended}, control.Succeeded, "agents exit"},
		"a stop that nobody confirms":     {"stop_user_testbed", pythonStatus(twoPrograms()...), nil, []swf.Agent{beat("data-agent-ann-9", "DATA", 102, 0)}, control.Pending, ""},
	}
}

func TestPythonOutcomes(t *testing.T) {
	for name := range pythonOutcomes() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt := pythonOutcomes()[name] // made on the bubble's clock
				s, m, mon := pythonSet(Options{})
				m.status = tt.before
				if tt.tool == "stop_user_testbed" {
					mon.agents = append(mon.agents, beat("data-agent-ann-9", "DATA", 102, time.Second))
				}
				m.act = func(control.Command, func(control.Reply)) *control.Reply {
					m.status, mon.agents = tt.after, append(mon.agents[:1:1], tt.agents...)
					return &control.Reply{Outcome: control.Pending}
				}
				r := call(t, s, ann, tt.tool, `{}`, nil)
				var a Answer
				switch out := r.Value.(type) {
				case *StartOut:
					a = out.Answer
				case *StopOut:
					a = out.Answer
				}
				if a.Outcome != tt.want || !a.Inferred || !strings.Contains(a.InferredFrom, tt.from) || (tt.from == "") != (a.InferredFrom == "") {
					t.Errorf("%s", r.Text)
				}
			})
		})
	}
}

func TestPythonCommandWithoutEffectIsUnconfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		var mu sync.Mutex
		s, _, mon := pythonSet(Options{Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
		out := call(t, s, ann, "start_user_testbed", `{}`, nil).Value.(*StartOut)
		if out.Outcome != control.Pending {
			t.Fatalf("%+v", out)
		}
		mu.Lock()
		now = now.Add(control.TTL + settling + time.Second)
		mu.Unlock()
		mon.agents = nil
		v := commandOf(t, s, ann, out.CommandID)
		if v.Outcome != control.Failed || v.Error.Code != swf.CodeUnconfirmed || !strings.Contains(v.Error.Hint, "see the monitor") {
			t.Errorf("%+v %v", v, v.Error)
		}
	})
}

func TestPythonCommandsGoOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := pythonSet(Options{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				out := call(t, s, ann, "start_user_testbed", `{"command_id":"mine"}`, nil).Value.(*StartOut)
				if out.Outcome != control.Pending || out.CommandID != control.KeyedID("ann", "ann", "mine") {
					t.Errorf("%+v", out)
				}
			})
		}
		wg.Wait()
		// An impatient second start joins the first, where it means the same.
		_ = call(t, s, ann, "start_user_testbed", `{}`, nil)
		first := call(t, s, ann, "start_user_testbed", `{"config_name":"a"}`, nil).Value.(*StartOut)
		second := call(t, s, ann, "start_user_testbed", `{"config_name":"a"}`, nil).Value.(*StartOut)
		if first.CommandID != second.CommandID {
			t.Errorf("%s and %s", first.CommandID, second.CommandID)
		}
		if n := len(m.commands()); n != 2 {
			t.Errorf("%d commands were published, want 2", n)
		}
		if out := call(t, s, ann, "stop_user_testbed", `{"command_id":"mine"}`, nil).Value.(*StopOut); out.Error == nil || out.Error.Code != swf.CodeConflict {
			t.Errorf("%+v", out)
		}
	})
}

func TestPythonWorkflows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, mon := pythonSet(Options{})
		m.status = pythonStatus(twoPrograms()...)
		execution := func(id, status string) swf.Execution {
			return swf.Execution{ExecutionID: id, Status: status, ExecutedBy: "ann", Namespace: ptr("torre2"), StartTime: swf.At(time.Now())}
		}
		mon.executions = []swf.Execution{execution("stf_datataking-ann-0001", swf.ExecutionCompleted)}
		m.act = func(cmd control.Command, _ func(control.Reply)) *control.Reply {
			mon.executions = append([]swf.Execution{execution("other-ann-0003", swf.ExecutionRunning), execution("stf_datataking-ann-0002", swf.ExecutionRunning)}, mon.executions...)
			return &control.Reply{Outcome: control.Pending}
		}
		out := call(t, s, ann, "start_workflow", `{"stf_count":3}`, nil).Value.(*RunOut)
		if out.Outcome != control.Succeeded || out.ExecutionID != "stf_datataking-ann-0002" || !out.Inferred || out.Namespace != "torre2" {
			t.Fatalf("%+v", out)
		}
		var p control.RunParams
		if err := json.Unmarshal(m.commands()[0].Params, &p); err != nil || p.Workflow != "stf_datataking" || p.Config != "fast_processing_default" || p.Namespace != "torre2" {
			t.Errorf("%+v, %v", p, err)
		}
		if out := call(t, s, ann, "start_workflow", `{}`, nil).Value.(*RunOut); out.Error == nil || out.Error.Code != swf.CodeBusy || out.RunningExecutionID != "other-ann-0003" {
			t.Errorf("while one runs: %+v", out)
		}
		m.act = func(cmd control.Command, _ func(control.Reply)) *control.Reply {
			mon.executions[1].Status = swf.ExecutionTerminated
			return &control.Reply{Outcome: control.Pending}
		}
		end := call(t, s, ann, "stop_workflow", `{"execution_id":"stf_datataking-ann-0002"}`, nil).Value.(*EndOut)
		var sp control.StopParams
		_ = json.Unmarshal(m.commands()[1].Params, &sp)
		if end.Outcome != control.Succeeded || !end.Inferred || sp.Namespace != "torre2" || sp.ExecutionID != "stf_datataking-ann-0002" {
			t.Errorf("%+v %+v", end, sp)
		}
		if end := call(t, s, ann, "stop_workflow", `{"execution_id":"stf_datataking-ann-0002"}`, nil).Value.(*EndOut); end.Error == nil || end.Error.Code != swf.CodeUnknownExecution {
			t.Errorf("again: %+v", end)
		}
		mon.executions = nil
		for args, want := range map[string]swf.Code{`{"namespace":"torre1"}`: swf.CodeWrongNamespace} {
			if out := call(t, s, ann, "start_workflow", args, nil).Value.(*RunOut); out.Error == nil || out.Error.Code != want {
				t.Errorf("%s: %+v", args, out)
			}
		}
		m.status = pythonStatus()
		if out := call(t, s, ann, "start_workflow", `{}`, nil).Value.(*RunOut); out.Error == nil || out.Error.Code != swf.CodeNotRunning {
			t.Errorf("nothing runs: %+v", out)
		}
		mon.err = swf.E(swf.CodeMonitorUnavailable, "down", "")
		if out := call(t, s, ann, "start_workflow", `{}`, nil).Value.(*RunOut); out.Error == nil || out.Error.Code != swf.CodeMonitorUnavailable {
			t.Errorf("no monitor: %+v", out)
		}
		if n := len(m.commands()); n != 2 {
			t.Errorf("%d commands were published, want 2", n)
		}
	})
}

func TestPythonManagersHaveALongerLease(t *testing.T) {
	for _, tt := range []struct {
		age  time.Duration
		want control.Outcome
	}{{90 * time.Second, control.Pending}, {100 * time.Second, control.Refused}} {
		synctest.Test(t, func(t *testing.T) {
			s, m, mon := pythonSet(Options{})
			m.pong, m.status = nil, nil
			mon.agents = []swf.Agent{beat(swf.ManagerInstance("ann"), swf.AgentTypeManager, 7, tt.age)}
			if out := call(t, s, ann, "stop_user_testbed", `{}`, nil).Value.(*StopOut); out.Outcome != tt.want {
				t.Errorf("%s: %+v", tt.age, out)
			}
		})
	}
}

func TestPythonManagersAreToldAsSuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := pythonSet(Options{})
		m.status = pythonStatus(twoPrograms()...)
		for _, tool := range []string{"check_agent_manager", "get_testbed_status"} {
			if r := call(t, s, ann, tool, `{}`, nil); r.Failed || !strings.Contains(r.Text, "outcomes are inferred") {
				t.Errorf("%s: %s", tool, r.Text)
			}
		}
		if out := call(t, s, ann, "start_user_testbed", `{}`, nil).Value.(*StartOut); out.Error == nil || out.Error.Code != swf.CodeAgentsRunning || len(out.RunningAgents) != 2 {
			t.Errorf("%+v", out)
		}
		if len(m.commands()) != 0 {
			t.Errorf("published: %+v", m.commands())
		}
	})
}
