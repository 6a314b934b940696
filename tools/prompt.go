package tools

import (
	"fmt"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// Prompt is a ready-made request that a person picks in a client.
type Prompt struct {
	Name        string
	Title       string
	Description string
	Arguments   []PromptArgument
	Needs       []string // tools without which it makes no sense
	text        func(arg map[string]string) string
}

// PromptArgument is an argument of a Prompt; none is required.
type PromptArgument struct {
	Name string
	Kind swf.Kind
	Doc  string
}

// Text returns the request with its arguments filled in. They are checked
// like those of tools: nobody writes the request by way of a name.
func (p *Prompt) Text(arguments map[string]string) (string, *swf.Error) {
	given := make(map[string]string)
	for _, name := range sortedKeys(arguments) {
		i := p.argument(name)
		switch {
		case i < 0:
			return "", swf.E(swf.CodeInvalidArgument, fmt.Sprintf("the prompt %s has no argument %s", p.Name, quote(name)), "its arguments are "+p.names())
		case arguments[name] == "":
			continue
		}
		if err := swf.CheckName(p.Arguments[i].Kind, arguments[name]); err != nil {
			return "", swf.AsError(err)
		}
		given[name] = arguments[name]
	}
	return p.text(given), nil
}

func (p *Prompt) argument(name string) int {
	for i, a := range p.Arguments {
		if a.Name == name {
			return i
		}
	}
	return -1
}

func (p *Prompt) names() string {
	names := make([]string, len(p.Arguments))
	for i, a := range p.Arguments {
		names[i] = a.Name
	}
	return strings.Join(names, ", ")
}

// Prompts returns the prompts.
func (s *Set) Prompts() []Prompt {
	user := PromptArgument{"username", swf.KindUsername, "Whose testbed; default: your own."}
	return []Prompt{
		{Name: "bring_up_testbed", Title: "Bring up a testbed", Description: "Start a testbed's agents and wait until it is ready.",
			Arguments: []PromptArgument{{"config_name", swf.KindConfig, "Testbed configuration; default: the agent manager's."}, user},
			Needs:     []string{"check_agent_manager", "start_user_testbed", "get_testbed_status"}, text: bringUp},
		{Name: "run_workflow", Title: "Run a workflow", Description: "Start a workflow in a running testbed and follow it to its end.",
			Arguments: []PromptArgument{{"workflow_name", swf.KindWorkflow, "Default: the testbed's."},
				{"config", swf.KindConfig, "Workflow configuration; default: the testbed's."}, user},
			Needs: []string{"start_workflow", "get_testbed_status"}, text: runWorkflow},
		{Name: "why_did_it_fail", Title: "Find out why something failed", Description: "Look for the reason why a testbed did not start or a workflow failed. Changes nothing.",
			Arguments: []PromptArgument{{"execution_id", swf.KindExecution, "Which execution; default: the latest that failed, or the testbed itself."}, user},
			Needs:     []string{"get_workflow_execution", "list_logs"}, text: whyFailed},
	}
}

// with is an argument as a call has it, or nothing.
func with(arg map[string]string, names ...string) string {
	var list []string
	for _, name := range names {
		if v := arg[name]; v != "" {
			list = append(list, fmt.Sprintf("%s=%q", name, v))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "(" + strings.Join(list, ", ") + ")"
}

func whose(arg map[string]string) string {
	if u := arg["username"]; u != "" {
		return "the testbed of " + u
	}
	return "my testbed"
}

func bringUp(arg map[string]string) string {
	return fmt.Sprintf(`Bring up %s.

- Call check_agent_manager%s. If the manager is not alive, tell me its how_to_start and end there.
- Call get_testbed_status%[2]s. If agents are running already, tell me which and ask before anything is stopped.
- Call start_user_testbed%[3]s. If it answers pending, do not call it again: poll get_testbed_status with its command_id.
- Poll get_testbed_status%[2]s until ready is true, at most for a minute.
- If a program failed, show its error and the end of its log, and say what I can do.
- More of a program's log is in get_agent_log.
- Tell me in two or three lines what runs: namespace, configuration, programs.`,
		whose(arg), with(arg, "username"), with(arg, "username", "config_name"))
}

func runWorkflow(arg map[string]string) string {
	return fmt.Sprintf(`Run a workflow in %s and follow it to its end.

- Call get_testbed_status%s. If it is not ready, tell me why and end there: do not start or stop agents on your own.
- Call start_workflow%s and note execution_id and command_id. If it answers busy, tell me what runs and end there.
- Poll get_testbed_status with that command_id, every next_poll_ms, until command.execution.status is no longer running.
- Call get_workflow_execution with the execution_id for its duration, how many STFs it took, and errors.
- Tell me how it ended, in two or three lines, and the errors if there are any.`,
		whose(arg), with(arg, "username"), with(arg, "workflow_name", "config", "username"))
}

func whyFailed(arg map[string]string) string {
	about, find := whose(arg), "- Call list_workflow_executions"+with(arg, "username")+" and take the latest that failed, was terminated or lost. If there is none, look at the testbed itself.\n"
	if id := arg["execution_id"]; id != "" {
		about, find = "the execution "+id, ""
	}
	return fmt.Sprintf(`Find out what went wrong with %s. Only look: start and stop nothing.

%s- Call get_workflow_execution%s: status, phase, reason and errors.
- Call list_logs with its execution_id, then list_logs(level="ERROR") for what else happened around that time.
- Call get_testbed_status%s: programs that are FATAL, EXITED or restarted, agents without a heartbeat.
- Call get_agent_log%[4]s for each program that looks wrong.
- Call list_messages with its execution_id: how far had the run come?
- Tell me the most likely cause, the lines that show it (quoted, as data), and what to do next. Say what you could not find out.`,
		about, find, with(arg, "execution_id"), with(arg, "username"))
}
