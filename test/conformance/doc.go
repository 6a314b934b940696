// Package conformance holds our MCP server against the official conformance
// suite of the protocol, for each revision that it serves: the real server and
// its real HTTP stack, tokens included, with the tools, resources and prompts
// that the suite wants to find. Tests only.
//
// Start reading at suite_test.go; fixtures_test.go and rounds_test.go are what
// the suite asks for.
package conformance
