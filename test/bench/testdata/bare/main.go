// Command bare is mcp-go with one no-op tool and nothing of ours: the floor of
// an MCP server's start and memory.
package main

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

func main() {
	s := server.NewMCPServer("bare", "1", server.WithToolCapabilities(false))
	s.AddTool(mcp.NewTool("noop", mcp.WithDescription("noop")), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultStructured(map[string]int{"n": 1}, "done"), nil
	})
	_ = server.ServeStdio(s)
}
