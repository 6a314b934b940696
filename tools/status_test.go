package tools

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// situation is a testbed as manager and monitor show it.
type situation struct {
	name  string
	m     *manager
	r     *records
	ready string // tri
	state swf.TestbedState
}

func statusOf(state swf.TestbedState, programs ...swf.Program) *control.Reply {
	pong := alivePong()
	pong.State = state
	return &control.Reply{Outcome: control.Succeeded, Pong: pong, Programs: programs, Namespace: "torre2", Config: "testbed.toml"}
}

// everybody beats: the manager, both programs, and another user's agent.
func everybody() []swf.Agent {
	return []swf.Agent{
		beat("agent-manager-ann", "agent_manager", 7, 4*time.Second),
		beat("daq_simulator-agent-ann-3", "DAQ_Simulator", 101, 5*time.Second),
		beat("data-agent-ann-4", "DATA", 102, 3*time.Second),
		beat("data-agent-bob-9", "DATA", 102, time.Second), // same pid, another host
		beat("agent-manager-bob", "agent_manager", 9, time.Second),
		beat("data-agent-ann-1", "DATA", 55, 10*time.Minute),
	}
}

func situations() []situation {
	all := everybody()
	all[3].Hostname = ptr("node2")
	missing := append([]swf.Agent{}, all[0], all[1])
	other := append([]swf.Agent{}, all...)
	other[2].Namespace = ptr("elsewhere")
	running := []swf.Execution{{ExecutionID: "stf_datataking-ann-0049", ExecutedBy: "ann", Status: "running"}, {ExecutionID: "x-bob-1", ExecutedBy: "bob", Status: "running"}}
	restarted := twoPrograms()
	restarted[1].Restarted = true
	m := func(r *control.Reply) *manager { return &manager{pong: alivePong(), status: r} }
	return []situation{
		{"idle and ready", m(statusOf("running", twoPrograms()...)), &records{agents: all}, "yes", "running"},
		{"a workflow runs", m(statusOf("running", twoPrograms()...)), &records{agents: all, executions: running}, "no", "running"},
		{"an agent has not beaten yet", m(statusOf("running", twoPrograms()...)), &records{agents: missing}, "no", "running"},
		{"an agent beats in another namespace", m(statusOf("running", twoPrograms()...)), &records{agents: other}, "no", "running"},
		{"a program came back by itself", m(statusOf("running", restarted...)), &records{agents: all}, "no", "running"},
		{"stopped", m(statusOf("stopped")), &records{agents: all[:1]}, "no", "stopped"},
		{"starting", m(statusOf("starting", swf.Program{Name: "workflow-runner", State: swf.ProgramStarting})), &records{}, "no", "starting"},
		{"monitor down", m(statusOf("running", twoPrograms()...)), &records{silent: true}, "unknown", "running"},
		{"monitor broken", m(statusOf("stopped")), &records{err: fmt.Errorf("dial tcp 10.0.0.5: password=hunter2")}, "no", "stopped"},
		{"supervisord hangs", &manager{pong: alivePong()}, &records{agents: all}, "unknown", "unknown"},
		{"supervisord failed", m(&control.Reply{Outcome: control.Failed, Pong: alivePong(), Error: swf.E(swf.CodeSupervisorFailed, "supervisord hangs", "testbed stop-agents")}), &records{agents: all}, "unknown", "unknown"},
		{"manager silent, fresh heartbeat", &manager{}, &records{agents: all}, "unknown", "unknown"},
		{"no manager", &manager{}, &records{}, "no", "unknown"},
		{"broker down", &manager{broken: swf.E(swf.CodeBrokerUnavailable, "the message broker cannot be reached, so nothing was sent", "check it")}, &records{agents: all}, "unknown", "unknown"},
		{"everything down", &manager{broken: swf.E(swf.CodeBrokerUnavailable, "the message broker cannot be reached, so nothing was sent", "check it")}, &records{silent: true}, "unknown", "unknown"},
	}
}

func TestStatus(t *testing.T) {
	var b strings.Builder
	for i := range situations() {
		synctest.Test(t, func(t *testing.T) {
			c := situations()[i] // made on the bubble's clock
			s := New(Options{Commander: c.m, Monitor: c.r})
			began := time.Now()
			args := `{}`
			if c.m.pong == nil {
				args = `{"command_id":"k-00000000000000000000000000000000"}`
			}
			r := call(t, s, ann, "get_testbed_status", args, nil)
			if took := time.Since(began); took > 2500*time.Millisecond {
				t.Errorf("%s: took %s", c.name, took)
			}
			out := r.Value.(*StatusOut)
			if tri(out.Ready) != c.ready || out.State != c.state || r.Failed {
				t.Errorf("%s: ready %s, state %s, failed %v; want %s, %s", c.name, tri(out.Ready), out.State, r.Failed, c.ready, c.state)
			}
			if (out.Agents == nil) != !out.Monitor.Available || strings.Contains(fmt.Sprintf("%+v %+v", out, out.Monitor.Error), "hunter2") {
				t.Errorf("%s: agents %v, monitor %+v", c.name, out.Agents, out.Monitor)
			}
			conforms(t, s, "get_testbed_status", r)
			fmt.Fprintf(&b, "## %s\n%s\n", c.name, r.Text)
			check := call(t, s, ann, "check_agent_manager", `{}`, nil)
			conforms(t, s, "check_agent_manager", check)
			fmt.Fprintf(&b, "%s\n", check.Text)
		})
	}
	golden(t, "status.golden", b.String())
}

func TestStatusTellsMineFromOthers(t *testing.T) {
	c := situations()[0]
	out := New(Options{Commander: c.m, Monitor: c.r}).TestbedStatus(t.Context(), ann, StatusIn{}, nil)
	var got []string
	for _, a := range out.Agents {
		got = append(got, fmt.Sprintf("%s %s %v", a.Name, a.Status, a.Mine))
	}
	want := "data-agent-bob-9 running false, data-agent-ann-4 running true, daq_simulator-agent-ann-3 running true, data-agent-ann-1 stopped true"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("agents %s", s)
	}
	if *out.Summary != (Summary{2, 1}) || strings.Join(out.SharedWith, " ") != "bob" || *out.RunningWorkflows != 0 {
		t.Errorf("summary %+v, shared with %v", out.Summary, out.SharedWith)
	}
}

// crowded is a monitor that knows more agents than it lists: strangers have
// beaten since.
type crowded struct{ *records }

func (m crowded) Agents(context.Context) ([]swf.Agent, error) {
	all := make([]swf.Agent, maxKnownAgents)
	for i := range all {
		all[i] = swf.Agent{InstanceName: fmt.Sprintf("agent-manager-other%d", i), AgentType: swf.AgentTypeManager, Namespace: ptr("elsewhere")}
	}
	return all, nil
}

func TestOneAmongThousands(t *testing.T) {
	c := situations()[0]
	s := New(Options{Commander: c.m, Monitor: crowded{c.r}})
	if out := s.TestbedStatus(t.Context(), ann, StatusIn{}, nil); len(out.Agents) != 4 || out.AgentManager.LastHeartbeat == nil {
		t.Errorf("status: agents %v, manager %+v", out.Agents, out.AgentManager)
	}
	if out := s.CheckAgentManager(t.Context(), ann, CheckIn{}, nil); out.LastHeartbeat == nil || *out.OperationalState != swf.OpReady {
		t.Errorf("check: %+v", out)
	}
	var names []string
	for _, a := range s.ListAgents(t.Context(), ann, AgentsIn{}, nil).Items {
		names = append(names, a.Name)
	}
	slices.Sort(names)
	want := "agent-manager-ann agent-manager-bob daq_simulator-agent-ann-3 data-agent-ann-1 data-agent-ann-4 data-agent-bob-9"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("listed %s, want %s", got, want)
	}
}

func TestCheckIsHonest(t *testing.T) {
	m := &manager{pong: alivePong(), status: statusOf("running", twoPrograms()...)}
	s := New(Options{Commander: m, Monitor: &records{agents: everybody()}, Limits: Limits{PerSecond: -1}})
	out := call(t, s, ann, "check_agent_manager", "", nil).Value.(*CheckOut)
	if !*out.Alive || !*out.AgentsRunning || !*out.SupervisordHealthy || *out.Namespace != "torre2" || out.Manager.PID != 7 ||
		out.ControlQueue != "/queue/testbed.ann.control" || out.InstanceName != "agent-manager-ann" || *out.OperationalState != "READY" {
		t.Errorf("%+v", out)
	}
	pong := alivePong()
	pong.Supervisor = "hung"
	m.status = &control.Reply{Outcome: control.Succeeded, Pong: pong}
	if out := call(t, s, ann, "check_agent_manager", "", nil).Value.(*CheckOut); *out.SupervisordHealthy || *out.AgentsRunning {
		t.Errorf("hung: %+v", out)
	}
}

func TestLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := &control.Reply{Outcome: control.Succeeded, Message: "2 of 2", Programs: twoPrograms()}
		unknown := &control.Reply{Outcome: control.Pending, Error: swf.E(swf.CodeUnknownID, "no such command", "ask again")}
		pending := &control.Reply{Outcome: control.Pending, Message: "start_testbed is acting"}
		ours := control.NewID()
		keyed := control.KeyedID("ann", "ann", "try-1")
		keyedUUID := control.KeyedID("ann", "ann", ours)
		old := uuidv7(time.Now().Add(-time.Hour))
		for _, c := range []struct {
			name, given string
			of          map[string]*control.Reply
			broken      error
			id          string
			outcome     control.Outcome
			asked       int
		}{
			{"an id of ours", ours, map[string]*control.Reply{ours: done, keyedUUID: unknown}, nil, ours, control.Succeeded, 2},
			{"an id of ours that somebody used for a key", ours, map[string]*control.Reply{ours: unknown, keyedUUID: done}, nil, keyedUUID, control.Succeeded, 1},
			{"a key", "try-1", map[string]*control.Reply{keyed: done}, nil, keyed, control.Succeeded, 1},
			{"the id of a key", keyed, map[string]*control.Reply{keyed: pending}, nil, keyed, control.Pending, 1},
			{"nobody's", "try-2", map[string]*control.Reply{control.KeyedID("ann", "ann", "try-2"): unknown}, nil, control.KeyedID("ann", "ann", "try-2"), Unknown, 1},
			{"silent, just sent", ours, nil, nil, ours, control.Pending, 1},
			{"silent, sent long ago", old, nil, nil, old, Unknown, 1},
			{"silent, a key just sent", "sent", nil, nil, control.KeyedID("ann", "ann", "sent"), control.Pending, 1},
			{"broker down, just sent", ours, nil, swf.E(swf.CodeBrokerUnavailable, "down", "up"), ours, control.Pending, 1},
		} {
			asked := 0
			m := &manager{broken: c.broken, of: func(id string) *control.Reply { asked++; return c.of[id] }}
			s := New(Options{Commander: m})
			s.pending.remember(control.Command{ID: control.KeyedID("ann", "ann", "sent"), ExpiresAt: time.Now().Add(time.Minute)})
			v := s.lookup(t.Context(), ann, "ann", c.given)
			if v.CommandID != c.id || v.Outcome != c.outcome || (v.Outcome == control.Pending) != (v.NextPollMS > 0) {
				t.Errorf("%s: %+v", c.name, v)
			}
			if c.broken == nil && asked != c.asked {
				t.Errorf("%s: asked %d times, want %d", c.name, asked, c.asked)
			}
			r := call(t, s, ann, "get_testbed_status", `{"command_id":"`+c.given+`"}`, nil)
			conforms(t, s, "get_testbed_status", r)
			if !strings.Contains(r.Text, "command "+c.id+": "+string(c.outcome)) {
				t.Errorf("%s: the text does not tell:\n%s", c.name, r.Text)
			}
		}
	})
}

// uuidv7 makes the id of a command issued at that time.
func uuidv7(at time.Time) string {
	u := uuid.UUID{6: 0x70, 8: 0x80}
	ms := at.UnixMilli()
	for i := range 6 {
		u[i] = byte(ms >> (8 * (5 - i)))
	}
	return u.String()
}
