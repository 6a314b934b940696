// Package scale asks how many users one broker, one monitor and a few MCP
// servers can serve. Crowds of real managers, whose testbeds are stopped, run in
// processes of their own; assistants call tools beside, through a plain TCP
// balancer in front of two MCP servers.
//
// As a plain test it is small and judges what is answered, never how fast;
// "make scale" runs it large and writes docs/scale.md. Start reading at
// replicas_test.go, then large_test.go.
package scale
