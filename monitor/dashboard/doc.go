// Package dashboard is the monitor's pages for people: testbeds, executions,
// messages, logs and commands, rendered on the server and kept live by events.
//
// It must not know the bus, managers or tools: it reads the store, and what a
// page starts or stops goes through Control, whose authority is not decided
// here. Nothing it serves comes from another host or needs a build. Start
// reading at dashboard.go.
package dashboard
