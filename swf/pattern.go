package swf

import "fmt"

// Pattern returns the closed pattern of a kind of name, for schemas that tell
// it to callers. CheckName refuses ".." besides. An unknown kind panics.
func Pattern(kind Kind) string {
	switch kind {
	case KindUsername:
		return usernameRE.String()
	case KindNamespace:
		return namespaceRE.String()
	case KindExecution:
		return executionRE.String()
	case KindConfig:
		return configRE.String()
	case KindWorkflow:
		return workflowRE.String()
	case KindCommandID:
		return commandIDRE.String()
	case KindProgram:
		return programRE.String()
	}
	panic(fmt.Sprintf("swf: unknown kind of name %q", kind))
}
