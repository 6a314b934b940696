// Package mcpserver is how an assistant connects: it offers a tools.Set as an
// MCP server over stdio, streamable HTTP and HTTP+SSE, with the guards that
// the protocol library leaves to its user (identity of sessions, strict JSON,
// bodies, streams, shutdown).
//
// It must not know what a tool does, and decides no authority: it only says
// who is asking. Start reading at server.go; http.go and stdio.go are the
// transports.
package mcpserver
