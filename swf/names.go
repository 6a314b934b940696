package swf

import (
	"fmt"
	"regexp"
	"strings"
)

// The closed patterns of every name that reaches a header, a path or a queue.
// A name is accepted or refused, never normalised.
var (
	usernameRE  = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	namespaceRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	executionRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	configRE    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(\.toml)?$`)
	workflowRE  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	commandIDRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	programRE   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
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
	var re *regexp.Regexp
	switch kind {
	case KindUsername:
		re = usernameRE
	case KindNamespace:
		re = namespaceRE
	case KindExecution:
		re = executionRE
	case KindConfig:
		re = configRE
	case KindWorkflow:
		re = workflowRE
	case KindCommandID:
		re = commandIDRE
	case KindProgram:
		re = programRE
	default:
		panic("swf: unknown kind of name " + kind)
	}
	if re.MatchString(value) && !strings.Contains(value, "..") {
		return nil
	}
	shown := value
	if len(shown) > 80 {
		shown = shown[:80]
	}
	return E(CodeInvalidArgument, fmt.Sprintf("%s %q is not a valid name", kind, shown),
		fmt.Sprintf("a %s matches %s", kind, re))
}

// Destinations of the bus. See the contract, sections 2.5 and 3.
const (
	TopicWorkflow       = "/topic/epictopic"
	QueueLegacyWorkflow = "/queue/workflow_control"
	QueueProcessing     = "/queue/processing_agent"
	QueueMonitoring     = "/queue/monitoring_agent"
	ReplyPrefix         = "/queue/testbed.replies."
)

var (
	loginRE      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	replyQueueRE = regexp.MustCompile(`^/queue/testbed\.replies\.([A-Za-z0-9_-]{1,64}\.)?[0-9a-f]{32}$`)
)

// ReplyQueue is the queue on which one process hears replies: secret, 128
// random bits in hex, names it, and login, which the broker's permissions go
// by, stands before it. A login that cannot be part of a queue's name, and the
// empty one, is left out.
func ReplyQueue(login, secret string) string {
	if loginRE.MatchString(login) {
		secret = login + "." + secret
	}
	return ReplyPrefix + secret
}

// IsReplyQueue reports whether a reply may be sent there: to nothing but one
// queue of the form that ReplyQueue gives.
func IsReplyQueue(destination string) bool { return replyQueueRE.MatchString(destination) }

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
