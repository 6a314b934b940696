package tools

import (
	"context"
	"fmt"
	"strings"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

const runDoc = `Starts a workflow in a user's running testbed (start_user_testbed comes first) and answers with its execution_id as soon as the runner has taken it; the workflow goes on by itself. Watch it with get_testbed_status, end it with stop_workflow. Answers busy, with the id, while one runs. Arguments left out come from the configuration.`

// RunIn is what start_workflow takes: the arguments of contract 6.1, and whose
// testbed.
type RunIn struct {
	WorkflowName          string   `json:"workflow_name" kind:"workflow_name" doc:"Default: the testbed's, usually stf_datataking."`
	Namespace             string   `json:"namespace" kind:"namespace" doc:"Must be the one the testbed runs in; default: that one."`
	Config                string   `json:"config" kind:"config_name" doc:"Workflow configuration, e.g. fast_processing_default."`
	Realtime              *bool    `json:"realtime" doc:"true: simulated time passes like real time; false: as fast as possible."`
	Duration              *float64 `json:"duration" min:"0" max:"86400" doc:"Seconds of simulated time after which to end; 0: no limit."`
	STFCount              *int     `json:"stf_count" min:"1" max:"100000" doc:"How many super time frames to take."`
	PhysicsPeriodCount    *int     `json:"physics_period_count" min:"1" max:"1000" doc:"How many physics periods."`
	PhysicsPeriodDuration *float64 `json:"physics_period_duration" min:"0" max:"86400" doc:"Seconds each physics period lasts."`
	STFInterval           *float64 `json:"stf_interval" min:"0.001" max:"3600" doc:"Seconds between super time frames."`
	Username              string   `json:"username" kind:"username" doc:"Whose testbed; default: your own."`
	CommandID             string   `json:"command_id" kind:"command_id" doc:"Your key: a repeat with it never acts twice."`
}

// RunOut is what start_workflow answers.
type RunOut struct {
	Answer
	ExecutionID        string         `json:"execution_id,omitempty"`
	RunningExecutionID string         `json:"running_execution_id,omitempty" doc:"why it was busy"`
	WorkflowName       string         `json:"workflow_name,omitempty"`
	Namespace          string         `json:"namespace,omitempty"`
	Config             string         `json:"config,omitempty"`
	Realtime           *bool          `json:"realtime,omitempty"`
	Params             map[string]any `json:"params,omitempty"`
}

// StartWorkflow passes a run to the user's manager and waits until the runner
// has taken or refused it.
func (s *Set) StartWorkflow(ctx context.Context, p swf.Principal, in RunIn, progress func(string)) RunOut {
	out := RunOut{WorkflowName: in.WorkflowName, Namespace: in.Namespace, Config: in.Config, Realtime: in.Realtime, Params: in.overrides()}
	user, err := target(p, in.Username)
	out.Username = user
	if err != nil {
		out.refuse(err)
		return out
	}
	params := control.RunParams{Workflow: in.WorkflowName, Config: in.Config, Namespace: in.Namespace, Realtime: in.Realtime, Params: out.Params}
	if in.Duration != nil {
		params.Duration = *in.Duration
	}
	a, r := s.send(ctx, order{principal: p, target: user, verb: control.RunWorkflow, params: params, key: in.CommandID, progress: progress})
	out.Answer = a
	if r.Namespace != "" {
		out.Namespace = r.Namespace
	}
	if r.Config != "" {
		out.Config = r.Config
	}
	if !a.Success {
		out.RunningExecutionID = r.ExecutionID
		return out
	}
	out.ExecutionID = r.ExecutionID
	if name, _, ok := strings.Cut(r.ExecutionID, "-"); ok {
		out.WorkflowName = name
	}
	out.Note = fmt.Sprintf("It runs by itself. Watch it with get_testbed_status; end it with stop_workflow(execution_id=%q).", r.ExecutionID)
	return out
}

// overrides are the workflow parameters that were given.
func (in *RunIn) overrides() map[string]any {
	m := make(map[string]any)
	put(m, "stf_count", in.STFCount)
	put(m, "physics_period_count", in.PhysicsPeriodCount)
	put(m, "physics_period_duration", in.PhysicsPeriodDuration)
	put(m, "stf_interval", in.STFInterval)
	if len(m) == 0 {
		return nil
	}
	return m
}

func put[T any](m map[string]any, name string, v *T) {
	if v != nil {
		m[name] = *v
	}
}

// Text says the same for people.
func (o *RunOut) Text() string {
	var b strings.Builder
	b.WriteString(o.text("start_workflow"))
	line(&b, "execution_id", o.ExecutionID)
	line(&b, "running execution", o.RunningExecutionID)
	if o.Success {
		line(&b, "workflow", o.WorkflowName)
		line(&b, "config", o.Config)
		line(&b, "namespace", o.Namespace)
	}
	return b.String()
}

const endDoc = `Ends a running workflow by its execution_id (from start_workflow or get_testbed_status). The runner ends the run and the execution becomes terminated. The agents go on running.`

// EndIn is what stop_workflow takes.
type EndIn struct {
	ExecutionID string `json:"execution_id" kind:"execution_id" required:"true" doc:"Which execution, e.g. stf_datataking-ann-0049."`
	CommandID   string `json:"command_id" kind:"command_id" doc:"Your key: a repeat with it never acts twice."`
}

// EndOut is what stop_workflow answers.
type EndOut struct {
	Answer
	ExecutionID string `json:"execution_id"`
	Namespace   string `json:"namespace,omitempty"`
}

// StopWorkflow ends an execution. Another user's answers like one that does
// not exist.
func (s *Set) StopWorkflow(ctx context.Context, p swf.Principal, in EndIn, progress func(string)) EndOut {
	out := EndOut{ExecutionID: in.ExecutionID}
	out.Username = p.Name
	if err := swf.CheckName(swf.KindExecution, in.ExecutionID); err != nil {
		out.refuse(err)
		return out
	}
	owner, known := s.owner(ctx, in.ExecutionID)
	if swf.CheckName(swf.KindUsername, owner) != nil || !p.MayActOn(owner) {
		out.refuse(unknownExecution(in.ExecutionID))
		return out
	}
	a, r := s.send(ctx, order{principal: p, target: owner, verb: control.StopWorkflow,
		params: control.StopParams{ExecutionID: in.ExecutionID}, key: in.CommandID, progress: progress})
	out.Answer, out.Namespace = a, r.Namespace
	if known != nil {
		if out.Namespace == "" && known.Namespace != nil {
			out.Namespace = clean(*known.Namespace, 128)
		}
		if a.Failed() && known.Status != swf.ExecutionRunning {
			out.Note = fmt.Sprintf("The monitor shows %s as %s.", in.ExecutionID, clean(known.Status, 64))
		}
	}
	if a.Error != nil && a.Error.Code == swf.CodeUnknownExecution {
		out.Error = unknownExecution(in.ExecutionID)
	}
	return out
}

// owner returns whose execution it is: the monitor knows; without it the
// username inside the id does, and that user's manager confirms it.
func (s *Set) owner(ctx context.Context, id string) (string, *swf.Execution) {
	ctx, cancel := context.WithTimeout(ctx, s.o.PingWait)
	defer cancel()
	e, err := s.o.Monitor.Execution(ctx, id)
	if err == nil && e != nil {
		return e.ExecutedBy, e
	}
	return swf.ExecutionOwner(id), nil
}

func unknownExecution(id string) *swf.Error {
	return swf.E(swf.CodeUnknownExecution, fmt.Sprintf("there is no running execution %s of yours", id),
		"get_testbed_status lists what runs")
}

// Text says the same for people.
func (o *EndOut) Text() string {
	var b strings.Builder
	b.WriteString(o.text("stop_workflow"))
	line(&b, "execution_id", o.ExecutionID)
	line(&b, "namespace", o.Namespace)
	return b.String()
}
