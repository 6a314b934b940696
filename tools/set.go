package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/epic-swf/testbed/audit"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// Commander sends commands to managers; *control.Client is one. It must be
// safe for concurrent use.
type Commander interface {
	Ask(ctx context.Context, cmd control.Command, progress func(control.Reply)) (control.Reply, error)
	Ping(ctx context.Context, username string) (control.Pong, error)
}

// Monitor tells what the monitor knows; *monitor.Client is one. Agent and
// Execution return nil without an error for what the monitor does not have.
type Monitor interface {
	Agent(ctx context.Context, instance string) (*swf.Agent, error)
	Agents(ctx context.Context) ([]swf.Agent, error)
	AgentsIn(ctx context.Context, namespace string) ([]swf.Agent, error)
	Execution(ctx context.Context, id string) (*swf.Execution, error)
	Executions(ctx context.Context, f monitor.Filter) ([]swf.Execution, error)
	Archive
}

// Options make a Set. Commander is needed; everything else has a default.
type Options struct {
	Commander Commander
	Monitor   Monitor                        // nil: every answer says that there is none
	Configs   func(username string) []string // names of configurations, to complete; nil: none
	Log       *slog.Logger                   // one line for each call
	Audit     *audit.Trail                   // one record for each call; nil: none
	Now       func() time.Time               // default time.Now
	Queue     func(username string) string   // default swf.ControlQueue; shown, not used

	Wait      time.Duration // for an outcome when the caller sees progress; default 25 s
	ShortWait time.Duration // when it does not; default 10 s
	PingWait  time.Duration // for a pong and for the monitor; default 2 s
	ViewWait  time.Duration // for what the monitor keeps, which may be long lists; default 5 s
	Lease     time.Duration // how long a heartbeat counts; default 30 s

	Limits Limits

	Metrics prometheus.Registerer // nil: the calls are counted for nobody
}

// Set is the tools. Safe for concurrent use; it owns no goroutine.
type Set struct {
	o       Options
	tools   []Tool
	limiter *limiter
	pending pending
	count   *metrics
}

// New makes a Set.
func New(o Options) *Set {
	if o.Monitor == nil {
		o.Monitor = noMonitor{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Queue == nil {
		o.Queue = swf.ControlQueue
	}
	o.Wait = orDefault(o.Wait, 25*time.Second)
	o.ShortWait = orDefault(o.ShortWait, 10*time.Second)
	o.PingWait = orDefault(o.PingWait, 2*time.Second)
	o.ViewWait = orDefault(o.ViewWait, 5*time.Second)
	o.Lease = orDefault(o.Lease, 30*time.Second)
	o.Commander = traced{o.Commander}
	s := &Set{o: o, limiter: newLimiter(o.Limits, o.Now), count: newMetrics(o.Metrics)}
	s.tools = append(s.controls(), s.views()...)
	for _, t := range s.tools {
		s.count.offer(t.Name)
	}
	s.count.offer(unknownToolLabel)
	return s
}

// controls are the tools of the control toolset, in the order in which one
// uses them.
func (s *Set) controls() []Tool {
	return inToolset(Control,
		declare(s, "check_agent_manager", "Check the agent manager", Looks, checkDoc, s.CheckAgentManager),
		declare(s, "start_user_testbed", "Start a testbed", Begins, startDoc, s.StartUserTestbed),
		declare(s, "stop_user_testbed", "Stop a testbed", Ends, stopDoc, s.StopUserTestbed),
		declare(s, "start_workflow", "Start a workflow", Begins, runDoc, s.StartWorkflow),
		declare(s, "stop_workflow", "Stop a workflow", Ends, endDoc, s.StopWorkflow),
		declare(s, "get_testbed_status", "Testbed status", Looks, statusDoc, s.TestbedStatus))
}

// views are the tools of the monitor toolset. All of them only look.
func (s *Set) views() []Tool {
	return inToolset(History,
		declare(s, "list_agents", "List agents", Looks, agentsDoc, s.ListAgents),
		declare(s, "list_workflow_executions", "List executions", Looks, executionsDoc, s.ListExecutions),
		declare(s, "get_workflow_execution", "Show an execution", Looks, executionDoc, s.GetExecution),
		declare(s, "list_logs", "List log records", Looks, logsDoc, s.ListLogs),
		declare(s, "list_messages", "List messages", Looks, messagesDoc, s.ListMessages),
		declare(s, "get_agent_log", "End of a program's log", Looks, agentLogDoc, s.AgentLog))
}

func inToolset(name string, list ...Tool) []Tool {
	for i := range list {
		list[i].Toolset = name
	}
	return list
}

// The toolsets: what drives a testbed, and what tells how it went.
const (
	Control = "control"
	History = "monitor"
)

// Toolsets are all of them.
func Toolsets() []string { return []string{Control, History} }

func orDefault(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}

// Effect is what a tool does to the world; all hints for clients follow from
// it.
type Effect int

// The effects.
const (
	Looks  Effect = iota // changes nothing
	Begins               // adds something, and refuses to do it twice
	Ends                 // stops what runs; doing it twice does no more
)

// Tool is one tool, ready to be offered by a transport.
type Tool struct {
	Name        string
	Title       string
	Description string
	Effect      Effect
	Toolset     string
	Input       json.RawMessage // JSON Schema of the arguments, closed
	Output      json.RawMessage // JSON Schema of Result.Value, closed

	// Call checks args (a decoded JSON object, or nil), who may do what and
	// how often, then does it. progress is nil when nobody listens. It never
	// panics for want of arguments and never returns before there is an
	// answer; the end of ctx makes the answer come early and undoes nothing.
	Call func(ctx context.Context, p swf.Principal, args any, progress func(string)) Result
}

// Result is the answer of a Tool.
type Result struct {
	Value  any    // a struct that Tool.Output describes
	Text   string // the same for people, complete without Value
	Failed bool   // the caller must know that it did not work

	// Confirm is not nil when the call failed only because a person has to
	// agree: a transport that can ask one does, and calls again.
	Confirm *Confirmation
}

// Tools returns the tools in the order in which one uses them.
func (s *Set) Tools() []Tool { return s.tools }

// answer is what a tool's method returns: a struct that can say so itself.
type answer[O any] interface {
	*O
	refuse(error)
	Failed() bool
	Text() string
	facts() facts
}

// declare makes a Tool of a method: schemas from its types, and around each
// call the checks that are the same for all.
func declare[I, O any, A answer[O]](s *Set, name, title string, effect Effect, doc string,
	method func(context.Context, swf.Principal, I, func(string)) O) Tool {
	list := params(reflect.TypeFor[I]())
	call := func(ctx context.Context, p swf.Principal, args any, progress func(string)) Result {
		c := s.begin(ctx, p, name, effect)
		given, _ := args.(map[string]any)
		c.arguments = redacted(list, given)
		var in I
		var out O
		if err := s.admit(c, list, args, reflect.ValueOf(&in).Elem()); err != nil {
			A(&out).refuse(err)
		} else {
			defer s.limiter.leave(p.Name)
			out = method(c.context(ctx), p, in, progress)
		}
		a := A(&out)
		f := a.facts()
		s.audit(c, f)
		return Result{Value: &out, Text: a.Text(), Failed: a.Failed(), Confirm: f.confirm}
	}
	return Tool{Name: name, Title: title, Description: doc, Effect: effect,
		Input: inputSchema(list), Output: outputSchema(reflect.TypeFor[O]()), Call: call}
}

// admit decides whether a call goes on: who calls, what it may, the arguments,
// then the limits; it fills in. After nil the caller must leave the limiter.
func (s *Set) admit(c *request, list []param, args any, in reflect.Value) *swf.Error {
	if err := mayCall(c.principal, c.tool, c.effect); err != nil {
		return err
	}
	given, ok := args.(map[string]any)
	if !ok && args != nil {
		return swf.E(swf.CodeInvalidArgument, fmt.Sprintf("the arguments of %s are not a JSON object", c.tool), "send an object, {} if there are none")
	}
	if err := decode(c.tool, list, given, in); err != nil {
		return err
	}
	return s.limiter.enter(c.principal.Name)
}

type noMonitor struct{}

func (noMonitor) unavailable() error {
	return swf.E(swf.CodeMonitorUnavailable, "no monitor is configured", "set SWF_MONITOR_URL for this server")
}
func (m noMonitor) Agent(context.Context, string) (*swf.Agent, error) { return nil, m.unavailable() }
func (m noMonitor) Agents(context.Context) ([]swf.Agent, error)       { return nil, m.unavailable() }
func (m noMonitor) AgentsIn(context.Context, string) ([]swf.Agent, error) {
	return nil, m.unavailable()
}
func (m noMonitor) Execution(context.Context, string) (*swf.Execution, error) {
	return nil, m.unavailable()
}
func (m noMonitor) ExecutionPage(context.Context, monitor.Filter, int, int) (p monitor.Page[swf.Execution], _ error) {
	return p, m.unavailable()
}
func (m noMonitor) Logs(context.Context, monitor.LogFilter, int, int) (p monitor.Page[swf.LogEntry], _ error) {
	return p, m.unavailable()
}
func (m noMonitor) Messages(context.Context, monitor.MessageFilter, int, int) (p monitor.Page[swf.RecordedMessage], _ error) {
	return p, m.unavailable()
}
func (m noMonitor) Executions(context.Context, monitor.Filter) ([]swf.Execution, error) {
	return nil, m.unavailable()
}
