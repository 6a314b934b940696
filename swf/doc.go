// Package swf is the vocabulary of the testbed: names and their patterns,
// messages, agents, executions, program states and the one error type that
// people and models meet.
//
// It holds no behaviour beyond checking and formatting, imports the standard
// library only, and must not know brokers, HTTP or supervisord. Start reading
// at error.go and names.go.
package swf
