package cli

import (
	"regexp"
	"strings"
)

// commandFor names what a person types for what an assistant calls.
var commandFor = strings.NewReplacer(
	"call stop_user_testbed first (Run testbed stop-agents first)", "Run testbed stop-agents first",
	"list_workflow_executions", "testbed workflow list",
	"get_workflow_execution", "testbed workflow show",
	"get_testbed_status", "testbed status",
	"check_agent_manager", "testbed agent-manager status",
	"start_user_testbed", "testbed run",
	"stop_user_testbed", "testbed stop-agents",
	"start_workflow", "testbed workflow start",
	"stop_workflow", "testbed workflow stop",
	"get_agent_log", "testbed logs",
	"list_agents", "testbed agents",
)

var askedByID = regexp.MustCompile(`get_testbed_status\(command_id="?([^)"]*)"?\)`)

// inCommands says a hint for people: hints come from rooms that speak to
// assistants too.
func inCommands(hint string) string {
	return commandFor.Replace(askedByID.ReplaceAllString(hint, "testbed status --command $1"))
}
