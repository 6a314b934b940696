package swf

import "testing"

func TestAgentOwner(t *testing.T) {
	for name, want := range map[string]string{
		"data-agent-ann-1": "ann", "stf_processing-agent-ann-lee-12": "ann-lee", "agent-manager-ann": "ann",
		"x-agent-agent-ann-1": "agent-ann", "agent-manager-x-agent-bob-1": "x-agent-bob-1",
		"data-agent-": "", "data-agent-1": "", "data-agent-Ann-1": "", "agent-manager-": "", "agent-manager-Ann": "", "": "", "x": "",
	} {
		if got := AgentOwner(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
