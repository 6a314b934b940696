// Package interop holds the real programs against foreign ones: the official
// MCP clients (the Inspector, both generations of the TypeScript SDK and the
// Python SDK, over stdio, streamable HTTP and SSE), and peers that speak as the
// Python system does, with its STOMP client. It contains tests only.
//
// One session of all six tools (session_test.go) is played through every
// client; it knows nothing of any of them. Start reading there; how a client
// is driven is in inspector_test.go and sdk_test.go, the Python peers are in
// the files whose names begin with python.
package interop
