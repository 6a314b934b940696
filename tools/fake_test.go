package tools

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manager is a scripted manager behind a Commander. A nil field is silence:
// the caller waits until its context ends, as it would with the real client.
type manager struct {
	pong   *control.Pong
	status *control.Reply
	of     func(id string) *control.Reply
	act    func(cmd control.Command, progress func(control.Reply)) *control.Reply
	log    func(program string) *control.Reply
	config func() *control.Reply
	broken error // the broker is down

	mu   sync.Mutex
	sent []control.Command // commands with an effect
}

func (m *manager) Ping(ctx context.Context, username string) (control.Pong, error) {
	switch {
	case m.broken != nil:
		<-ctx.Done()
		return control.Pong{}, m.broken
	case m.pong == nil:
		<-ctx.Done()
		return control.Pong{}, swf.E(swf.CodeNoManager, "no agent manager of "+username+" answered", "start it")
	}
	return *m.pong, nil
}

func (m *manager) Ask(ctx context.Context, cmd control.Command, progress func(control.Reply)) (control.Reply, error) {
	if progress == nil {
		progress = func(control.Reply) {}
	}
	if m.broken != nil {
		<-ctx.Done()
		return control.Reply{}, m.broken
	}
	var r *control.Reply
	switch {
	case cmd.Verb.Effect():
		m.mu.Lock()
		m.sent = append(m.sent, cmd)
		m.mu.Unlock()
		if m.act != nil {
			r = m.act(cmd, progress)
		}
	case cmd.Of != nil && m.of != nil:
		if of := m.of(cmd.Of.CommandID); of != nil {
			r = &control.Reply{Outcome: control.Succeeded, Of: of, Pong: m.pong}
		}
	case cmd.Of != nil && cmd.Of.Log != "" && m.log != nil:
		r = m.log(cmd.Of.Log)
	case cmd.Of != nil && cmd.Of.Config && m.config != nil:
		r = m.config()
	case cmd.Of == nil:
		r = m.status
	}
	if r == nil {
		<-ctx.Done()
		return control.Reply{CommandID: cmd.ID, Kind: control.Final, Outcome: control.Pending}, nil
	}
	out := *r
	out.CommandID, out.Kind = cmd.ID, control.Final
	return out, nil
}

func (m *manager) commands() []control.Command {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sent
}

// always answers every command with the same reply.
func always(r control.Reply) func(control.Command, func(control.Reply)) *control.Reply {
	return func(control.Command, func(control.Reply)) *control.Reply { return &r }
}

// records is a scripted monitor. silent waits until the context ends.
type records struct {
	agents     []swf.Agent
	executions []swf.Execution
	logs       []swf.LogEntry
	messages   []swf.RecordedMessage
	django     bool
	silent     bool
	err        error
}

func (m *records) wait(ctx context.Context) error {
	if m.silent {
		<-ctx.Done()
		return swf.E(swf.CodeMonitorUnavailable, "the monitor did not answer", "check that it runs").Because(ctx.Err())
	}
	return m.err
}

func (m *records) Agents(ctx context.Context) ([]swf.Agent, error) {
	if err := m.wait(ctx); err != nil {
		return nil, err
	}
	return m.agents, nil
}

func (m *records) AgentsIn(ctx context.Context, namespace string) ([]swf.Agent, error) {
	agents, err := m.Agents(ctx)
	return slices.DeleteFunc(slices.Clone(agents), func(a swf.Agent) bool { return deref(a.Namespace) != namespace }), err
}

func (m *records) Agent(ctx context.Context, instance string) (*swf.Agent, error) {
	if err := m.wait(ctx); err != nil {
		return nil, err
	}
	for i := range m.agents {
		if m.agents[i].InstanceName == instance {
			return &m.agents[i], nil
		}
	}
	return nil, nil
}

func (m *records) Execution(ctx context.Context, id string) (*swf.Execution, error) {
	if err := m.wait(ctx); err != nil {
		return nil, err
	}
	for i := range m.executions {
		if m.executions[i].ExecutionID == id {
			return &m.executions[i], nil
		}
	}
	return nil, nil
}

func (m *records) Executions(ctx context.Context, f monitor.Filter) ([]swf.Execution, error) {
	if err := m.wait(ctx); err != nil {
		return nil, err
	}
	var list []swf.Execution
	for _, e := range m.executions {
		if (f.Status == "" || e.Status == f.Status) && (f.ExecutedBy == "" || e.ExecutedBy == f.ExecutedBy) {
			list = append(list, e)
		}
	}
	return list, nil
}

// ExecutionPage, Logs and Messages answer as a monitor of ours does; with
// django it ignores the filters and limits that only ours knows.
func (m *records) ExecutionPage(ctx context.Context, f monitor.Filter, limit, offset int) (monitor.Page[swf.Execution], error) {
	return pageOf(ctx, m, m.executions, func(e *swf.Execution) bool {
		return (f.Status == "" || e.Status == f.Status) && (f.ExecutedBy == "" || e.ExecutedBy == f.ExecutedBy) &&
			(f.Namespace == "" || deref(e.Namespace) == f.Namespace) && (m.django || !e.StartTime.Before(f.Since))
	}, limit, offset)
}

func (m *records) Logs(ctx context.Context, f monitor.LogFilter, limit, offset int) (monitor.Page[swf.LogEntry], error) {
	return pageOf(ctx, m, m.logs, func(e *swf.LogEntry) bool {
		return m.django || (f.Instance == "" || e.InstanceName == f.Instance) && e.Level >= f.MinLevel && !e.Timestamp.Before(f.Since) &&
			(f.ExecutionID == "" || extraOf(e).ExecutionID == f.ExecutionID) && strings.Contains(strings.ToLower(e.Message), strings.ToLower(f.Search))
	}, limit, offset)
}

func (m *records) Messages(ctx context.Context, f monitor.MessageFilter, limit, offset int) (monitor.Page[swf.RecordedMessage], error) {
	list := m.messages
	if f.ExecutionID != "" {
		list = slices.Clone(list)
		slices.Reverse(list)
	}
	return pageOf(ctx, m, list, func(e *swf.RecordedMessage) bool {
		ours := (f.Namespace == "" || deref(e.Namespace) == f.Namespace) && (f.Sender == "" || deref(e.Sender) == f.Sender) &&
			(f.Type == "" || e.Type == f.Type) && !e.SentAt.Before(f.Since)
		return (f.ExecutionID == "" || deref(e.ExecutionID) == f.ExecutionID) && (m.django || ours)
	}, limit, offset)
}

func pageOf[T any](ctx context.Context, m *records, all []T, keep func(*T) bool, limit, offset int) (monitor.Page[T], error) {
	if err := m.wait(ctx); err != nil {
		return monitor.Page[T]{}, err
	}
	var list []T
	for i := range all {
		if keep(&all[i]) {
			list = append(list, all[i])
		}
	}
	total := len(list)
	list = list[min(offset, total):]
	return monitor.Page[T]{Items: list[:min(limit, len(list))], Total: total}, nil
}

var (
	ann = swf.Principal{Name: "ann"}
	ops = swf.Principal{Name: "ops", Operator: true}
)

func ptr[T any](v T) *T { return &v }

func alivePong() *control.Pong {
	return &control.Pong{Protocol: control.Protocol, Instance: "i1", Username: "ann", Host: "node1", PID: 7, Version: "v1",
		State: swf.TestbedRunning, Namespace: "torre2", Config: "testbed.toml", Supervisor: "running"}
}

// beat makes an agent that the monitor heard so long ago.
func beat(name, kind string, pid int, ago time.Duration) swf.Agent {
	return swf.Agent{InstanceName: name, AgentType: kind, Status: swf.StatusOK, OperationalState: swf.OpReady, PID: ptr(pid),
		Hostname: ptr("node1"), Namespace: ptr("torre2"), LastHeartbeat: ptr(swf.At(time.Now().Add(-ago)))}
}

func twoPrograms() []swf.Program {
	return []swf.Program{{Name: "workflow-runner", State: swf.ProgramRunning, PID: 101, Host: "node1"},
		{Name: "example-data-agent", State: swf.ProgramRunning, PID: 102, Host: "node1"}}
}

// call calls a tool by its name with JSON arguments.
func call(t *testing.T, s *Set, p swf.Principal, tool, args string, progress func(string)) Result {
	t.Helper()
	var decoded any
	if args != "" {
		if err := json.Unmarshal([]byte(args), &decoded); err != nil {
			t.Fatal(err)
		}
	}
	for _, tl := range s.Tools() {
		if tl.Name == tool {
			return tl.Call(t.Context(), p, decoded, progress)
		}
	}
	t.Fatalf("no tool %s", tool)
	return Result{}
}
