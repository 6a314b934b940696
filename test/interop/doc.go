// Package interop holds the real programs against foreign ones: the official
// MCP clients (the Inspector, both generations of the TypeScript SDK and the
// Python SDK), and peers that speak as the Python system does. Tests only.
//
// One session of all six tools (session_test.go) is played through every
// client; it knows nothing of any of them. Start reading there. How a client is
// driven is in inspector_test.go and sdk_test.go; Python peers are in python*.go.
package interop
