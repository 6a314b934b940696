// Package attacks holds the attacks that the testbed must survive, each a test
// that names its number: TestAttack01… to TestAttack35…. Tests only.
//
// newSite (site_test.go) is a whole deployment in this process: broker, monitor,
// MCP server on a port, users with a token each, managers of those that need
// one. everyTransport (client_test.go) runs an attack over stdio, HTTP and SSE in
// each protocol version; docs/security-tests.md is made from the results.
package attacks
