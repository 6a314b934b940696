// Package hosts runs a testbed over several hosts: broker, monitor, MCP server,
// the managers of two users, and a client, each in a network namespace and
// under a host name of its own, joined by a switch whose links a test can cut.
// The programs are the real ones, built for the test. It contains tests only.
//
// It needs Linux, root and iproute2; where namespaces cannot be made it is
// skipped with the reason, and fails where CI is set. Start reading at
// hosts_test.go, then network_test.go.
package hosts
