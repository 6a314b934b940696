package mcpserver

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// offers are the switches and the tools that they leave.
var offers = []struct {
	name     string
	toolsets []string
	readOnly bool
	tools    string
}{
	{"read-only", nil, true, "check_agent_manager get_agent_log get_testbed_status get_workflow_execution list_agents list_logs list_messages list_workflow_executions"},
	{"control", []string{"control"}, false, "check_agent_manager get_testbed_status start_user_testbed start_workflow stop_user_testbed stop_workflow"},
	{"monitor", []string{"monitor"}, false, "get_agent_log get_workflow_execution list_agents list_logs list_messages list_workflow_executions"},
	{"control, read-only", []string{"control"}, true, "check_agent_manager get_testbed_status"},
	{"both", []string{"monitor", "control"}, false, "check_agent_manager get_agent_log get_testbed_status get_workflow_execution list_agents list_logs list_messages list_workflow_executions start_user_testbed start_workflow stop_user_testbed stop_workflow"},
}

// TestWhatIsNotOfferedCannotBeReached lists and calls every tool, over every
// transport and protocol version.
func TestWhatIsNotOfferedCannotBeReached(t *testing.T) {
	for _, o := range offers {
		t.Run(o.name, func(t *testing.T) {
			c := &answering{}
			all := tools.New(tools.Options{Commander: c, Limits: tools.Limits{PerSecond: -1}}).Tools()
			s, err := New(Options{Tools: all, Toolsets: o.toolsets, ReadOnly: o.readOnly})
			if err != nil {
				t.Fatal(err)
			}
			offered := strings.Fields(o.tools)
			onEveryTransport(t, s, func(t *testing.T, cl *client.Client) { tryAll(t, cl, all, offered) })
			st := serve(t, s, HTTPOptions{})
			for _, tl := range all {
				code, body := st.status(t, modern(1, "tools/call", tl.Name))
				if refused := strings.Contains(body, "there is no tool"); refused == slices.Contains(offered, tl.Name) {
					t.Errorf("2026-07-28: %s: %d %s", tl.Name, code, body)
				}
			}
			code, body := st.status(t, modern(1, "tools/list", ""))
			for _, tl := range all {
				if strings.Contains(body, tl.Name) != slices.Contains(offered, tl.Name) {
					t.Errorf("2026-07-28: tools/list: %d speaks of %s: %s", code, tl.Name, body)
				}
			}
			if code != http.StatusOK {
				t.Errorf("2026-07-28: tools/list: %d", code)
			}
			if o.readOnly && c.acted.Load() != 0 {
				t.Errorf("%d commands with an effect were sent", c.acted.Load())
			}
		})
	}
}

func tryAll(t *testing.T, c *client.Client, all []tools.Tool, offered []string) {
	t.Helper()
	init := hello(t, c)
	list, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tl := range list.Tools {
		names = append(names, tl.Name)
	}
	if !slices.Equal(names, offered) {
		t.Errorf("tools/list gives %v", names)
	}
	for _, tl := range all {
		call := mcp.CallToolRequest{}
		call.Params.Name, call.Params.Arguments = tl.Name, map[string]any{}
		r, err := c.CallTool(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		missing, _ := json.Marshal(r)
		if can := slices.Contains(offered, tl.Name); can == strings.Contains(string(missing), "there is no tool") {
			t.Errorf("%s: %s", tl.Name, missing)
		} else if can != strings.Contains(init.Instructions, tl.Name) {
			t.Errorf("%s: the instructions are wrong about it:\n%s", tl.Name, init.Instructions)
		}
	}
}

func TestUnknownToolset(t *testing.T) {
	if _, err := New(Options{Toolsets: []string{"everything"}}); !swf.IsCode(err, swf.CodeInvalidArgument) || !strings.Contains(swf.AsError(err).Hint, "control, monitor") {
		t.Errorf("an unknown toolset: %v", err)
	}
}
