// Package manager is one user's daemon: it takes commands from that user's
// control queue, drives that user's supervisord, and tells every command its
// one true outcome. A journal on disk makes each command act at most once,
// through retries, redelivery and crashes.
//
// It must not know MCP or the principals behind a command; authority was
// decided in tools. Start reading at manager.go, then accept.go (the rules of
// taking a command), executor.go and start.go.
package manager
