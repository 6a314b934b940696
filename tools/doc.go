// Package tools is what an assistant may ask of a testbed: six tools that
// drive it and six that tell how it went, each an input struct, a typed method
// of Set and one line of declaration in set.go. Arguments are checked,
// authority is decided and calls are limited here, once, for all transports.
//
// It must not know MCP, HTTP or STOMP. Start reading at set.go; what an answer
// looks like is in answer.go and listing.go, how commands are sent in command.go.
package tools
