package swf

import (
	"fmt"
	"strings"
)

// Kind names a kind of name, for CheckName and its error text.
type Kind string

// The kinds of names.
const (
	KindUsername  Kind = "username"
	KindNamespace Kind = "namespace"
	KindExecution Kind = "execution_id"
	KindConfig    Kind = "config_name"
	KindWorkflow  Kind = "workflow_name"
	KindCommandID Kind = "command_id"
	KindProgram   Kind = "program"
)

// CheckName returns an invalid_argument Error unless value matches the closed
// pattern of its kind.
func CheckName(kind Kind, value string) error {
	p := pattern(kind)
	if p.match(value) && !strings.Contains(value, "..") {
		return nil
	}
	shown := value
	if len(shown) > 80 {
		shown = shown[:80]
	}
	return E(CodeInvalidArgument, fmt.Sprintf("%s %q is not a valid name", kind, shown),
		fmt.Sprintf("a %s matches %s", kind, p))
}

// Destinations of the bus. See the contract, sections 2.5 and 3.
const (
	TopicWorkflow       = "/topic/epictopic"
	QueueLegacyWorkflow = "/queue/workflow_control"
	QueueProcessing     = "/queue/processing_agent"
	QueueMonitoring     = "/queue/monitoring_agent"
	ReplyPrefix         = "/queue/testbed.replies."
)

// A login that can be part of a queue's name, and the secret part of one.
var (
	logins  = closed{first: "A-Za-z0-9_-", further: "A-Za-z0-9_-", most: 63}
	secrets = closed{first: "0-9a-f", further: "0-9a-f", most: 31}
)

// ReplyQueue is the queue on which one process hears replies: secret, 128
// random bits in hex, names it, and login, which the broker's permissions go
// by, stands before it. A login that cannot be part of a queue's name, and the
// empty one, is left out.
func ReplyQueue(login, secret string) string {
	if logins.match(login) {
		secret = login + "." + secret
	}
	return ReplyPrefix + secret
}

// IsReplyQueue reports whether a reply may be sent there: to nothing but one
// queue of the form that ReplyQueue gives.
func IsReplyQueue(destination string) bool {
	rest, ok := strings.CutPrefix(destination, ReplyPrefix)
	if login, secret, below := strings.Cut(rest, "."); below {
		rest, ok = secret, ok && logins.match(login)
	}
	return ok && len(rest) == 32 && secrets.match(rest)
}

// ControlQueue is the queue on which a user's manager takes commands.
func ControlQueue(username string) string { return "/queue/testbed." + username + ".control" }

// LegacyControlQueue is the name the Python system uses for the same.
func LegacyControlQueue(username string) string { return "/queue/agent_control." + username }

// WorkflowQueue is the queue on which a user's own runner takes commands from
// that user's manager.
func WorkflowQueue(username string) string { return "/queue/testbed." + username + ".workflow" }

// ManagerInstance is the name under which a user's manager beats.
func ManagerInstance(username string) string { return "agent-manager-" + username }

// ExecutionID formats an execution id as the contract does (section 1.4).
func ExecutionID(workflow, username string, sequence int) string {
	return fmt.Sprintf("%s-%s-%04d", workflow, username, sequence)
}

// ExecutionOwner returns the username inside an execution id: workflow names
// have no hyphen, so the first one ends the workflow and the last one starts
// the number. It returns "" when there is none.
func ExecutionOwner(executionID string) string {
	first, last := strings.Index(executionID, "-"), strings.LastIndex(executionID, "-")
	if first < 0 || last <= first {
		return ""
	}
	return executionID[first+1 : last]
}

// AgentOwner returns the username inside an agent's name, {type}-agent-{user}-{id}
// with a type that has no "-agent-" in it, or inside a manager's. It returns ""
// when there is none.
func AgentOwner(instance string) string {
	user, manager := strings.CutPrefix(instance, ManagerInstance(""))
	if !manager {
		_, rest, _ := strings.Cut(instance, "-agent-")
		user = rest[:max(0, strings.LastIndexByte(rest, '-'))]
	}
	if CheckName(KindUsername, user) != nil {
		return ""
	}
	return user
}
