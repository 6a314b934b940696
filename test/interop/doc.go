// Package interop holds the real programs against the official MCP clients:
// the Inspector, both generations of the TypeScript SDK and the Python SDK,
// over stdio, streamable HTTP and SSE. It contains tests only.
//
// One session of all six tools (session_test.go) is played through every
// client; it knows nothing of any of them. Start reading there; how a client
// is driven is in inspector_test.go and sdk_test.go.
package interop
