package tools

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

const startDoc = `Starts all agents of a user's testbed and the workflow runner under supervisord, and waits until every one has been seen RUNNING. Refused (agents_running) while any agent runs: call stop_user_testbed first. If the answer is pending, do not call it again: poll get_testbed_status(command_id=...).`

// StartIn is what start_user_testbed takes.
type StartIn struct {
	Username   string `json:"username" kind:"username" doc:"Whose testbed; default: your own."`
	ConfigName string `json:"config_name" kind:"config_name" doc:"Testbed configuration, e.g. testbed.toml or fast_processing; default: the agent manager's."`
	CommandID  string `json:"command_id" kind:"command_id" doc:"Your key: a repeat with it never acts twice."`
}

// StartOut is what start_user_testbed answers.
type StartOut struct {
	Answer
	Config        string        `json:"config,omitempty"`
	Namespace     string        `json:"namespace,omitempty"`
	Programs      []swf.Program `json:"programs,omitempty" schema:"brief"`
	RunningAgents []string      `json:"running_agents,omitempty" doc:"why it was refused"`
	HowToFix      string        `json:"how_to_fix,omitempty"`
}

// StartUserTestbed starts a testbed and waits for the outcome.
func (s *Set) StartUserTestbed(ctx context.Context, p swf.Principal, in StartIn, progress func(string)) StartOut {
	out := StartOut{Config: in.ConfigName}
	user, err := target(p, in.Username)
	out.Username = user
	if err != nil {
		out.refuse(err)
		return out
	}
	a, r := s.send(ctx, order{principal: p, target: user, verb: control.StartTestbed, config: in.ConfigName, key: in.CommandID, progress: progress})
	out.Answer, out.Programs, out.Namespace = a, r.Programs, r.Namespace
	switch {
	case r.Config != "":
		out.Config = r.Config
	case out.Config == "" && a.CommandID != "":
		out.Config = "agent manager default"
	}
	if a.Error != nil && a.Error.Code == swf.CodeAgentsRunning {
		out.RunningAgents, out.HowToFix = active(r.Programs), "call stop_user_testbed, then start_user_testbed again"
	}
	return out
}

// Text says the same for people.
func (o *StartOut) Text() string {
	var b strings.Builder
	b.WriteString(o.text("start_user_testbed"))
	if o.Success {
		line(&b, "config", o.Config)
		line(&b, "namespace", o.Namespace)
	}
	line(&b, "running agents", strings.Join(o.RunningAgents, ", "))
	writePrograms(&b, o.Programs)
	return b.String()
}

func active(programs []swf.Program) []string {
	var names []string
	for _, p := range programs {
		if p.State.Active() {
			names = append(names, p.Name)
		}
	}
	return names
}

const stopDoc = `Stops all agents of a user's testbed, waits until they are gone, and shuts supervisord down. Stopping what is not running succeeds. It ends a running workflow: while one runs, or for another user, it answers confirmation_required unless confirm=true; ask the person first.`

// StopIn is what stop_user_testbed takes.
type StopIn struct {
	Username  string `json:"username" kind:"username" doc:"Whose testbed; default: your own."`
	Confirm   bool   `json:"confirm" doc:"true once the person has agreed to lose what confirmation_required named."`
	CommandID string `json:"command_id" kind:"command_id" doc:"Your key: a repeat with it never acts twice."`
}

// StopOut is what stop_user_testbed answers.
type StopOut struct {
	Answer
	Programs          []swf.Program `json:"programs,omitempty" schema:"brief"`
	RunningExecutions []string      `json:"running_executions,omitempty" doc:"what a stop would end"`

	confirm *Confirmation // what a person may be asked
}

// StopUserTestbed stops a testbed and waits for the outcome.
func (s *Set) StopUserTestbed(ctx context.Context, p swf.Principal, in StopIn, progress func(string)) StopOut {
	var out StopOut
	user, err := target(p, in.Username)
	out.Username = user
	if err != nil {
		out.refuse(err)
		return out
	}
	if !in.Confirm {
		out.RunningExecutions, err = s.wouldLose(ctx, p, user)
		if err != nil {
			ask := question(user, err)
			declined, asked := settled(ctx, ask)
			if !asked {
				out.confirm = &Confirmation{Question: ask}
				out.refuse(err)
				return out
			}
			if declined != nil {
				out.refuse(declined)
				return out
			}
		}
	}
	out.Answer, out.Programs = s.stop(ctx, order{principal: p, target: user, verb: control.StopTestbed, key: in.CommandID, progress: progress})
	return out
}

func (s *Set) stop(ctx context.Context, o order) (Answer, []swf.Program) {
	a, r := s.send(ctx, o)
	return a, r.Programs
}

// wouldLose returns confirmation_required when a stop needs it: during a run,
// or for another user. What cannot be found out asks for nothing: a stop works
// while the monitor is down.
func (s *Set) wouldLose(ctx context.Context, p swf.Principal, user string) ([]string, *swf.Error) {
	var ids []string
	for _, e := range s.liveExecutions(ctx, p, user) {
		if swf.CheckName(swf.KindExecution, e.ExecutionID) != nil {
			e.ExecutionID = quote(e.ExecutionID) // it goes into a question to a person
		}
		ids = append(ids, e.ExecutionID)
	}
	switch {
	case len(ids) > 0:
		return ids, swf.E(swf.CodeConfirmationNeeded, fmt.Sprintf("stopping the testbed of %s would end the running workflow %s", user, strings.Join(ids, ", ")),
			"ask the person; if they agree, call stop_user_testbed again with confirm=true")
	case user != p.Name:
		return nil, swf.E(swf.CodeConfirmationNeeded, fmt.Sprintf("the testbed is that of %s, not of %s", user, p.Name),
			"ask the person; if they agree, call stop_user_testbed again with confirm=true")
	}
	return nil, nil
}

// liveExecutions returns the executions that run in the user's testbed. When
// its manager sees no runner alive, what the monitor still calls running is a
// left-over.
func (s *Set) liveExecutions(ctx context.Context, p swf.Principal, user string) []swf.Execution {
	ctx, cancel := context.WithTimeout(ctx, s.o.PingWait)
	defer cancel()
	list, err := s.o.Monitor.Executions(ctx, monitor.Filter{Status: swf.ExecutionRunning, ExecutedBy: user})
	if err != nil || len(list) == 0 {
		return nil
	}
	r, err := s.o.Commander.Ask(ctx, control.Command{Verb: control.Status, Username: user, IssuedBy: p.Name}, nil)
	if err == nil && r.Outcome == control.Succeeded && !slices.ContainsFunc(r.Programs, func(p swf.Program) bool { return p.State.Active() }) {
		return nil
	}
	return list[:min(len(list), maxList)]
}

func (o *StopOut) facts() facts {
	f := o.Answer.facts()
	f.confirm = o.confirm
	return f
}

// Text says the same for people.
func (o *StopOut) Text() string {
	var b strings.Builder
	b.WriteString(o.text("stop_user_testbed"))
	writePrograms(&b, o.Programs)
	return b.String()
}
