package mcpserver

import (
	"context"
	"slices"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/epic-swf/testbed/tools"
)

// The library answers a call of a tool that it does not have with a protocol
// error of one sentence. A model can do more with a result that names what
// there is. So such a call becomes one of a tool that answers that, which
// stands in no list. This is below all transports and protocol versions.

// noTool is that tool's name: no name that a tool could have.
const noTool = "-"

// called is what a call of a tool that is not there becomes: no client can send
// arguments of this type.
type called struct{ name string }

// answerUnknownTools registers the tool and what leads to it.
func (s *Server) answerUnknownTools(h *server.Hooks) {
	h.AddBeforeCallTool(func(_ context.Context, _ any, req *mcp.CallToolRequest) {
		if name := req.Params.Name; name == noTool || s.mcp.GetTool(name) == nil {
			req.Params.Name, req.Params.Arguments = noTool, called{name}
		}
	})
	h.AddAfterListTools(func(_ context.Context, _ any, _ *mcp.ListToolsRequest, result *mcp.ListToolsResult) {
		result.Tools = slices.DeleteFunc(result.Tools, func(t mcp.Tool) bool { return t.Name == noTool })
	})
	s.mcp.AddTool(mcp.NewToolWithRawSchema(noTool, "", []byte(`{"type":"object"}`)), s.noTool)
}

func (s *Server) noTool(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	call, _ := req.Params.Arguments.(called)
	offered := make([]string, len(s.offer.tools))
	for i, t := range s.offer.tools {
		offered[i] = s.o.ToolPrefix + t.Name
	}
	var r tools.Result
	if s.o.NoTool == nil {
		r = tools.NoTool(call.name, offered)
	} else {
		p, _ := s.o.Principal(ctx)
		r = s.o.NoTool(withClient(ctx), p, call.name, offered)
	}
	result := mcp.NewToolResultStructured(r.Value, r.Text)
	result.IsError = r.Failed
	return result, nil
}
