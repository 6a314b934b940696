// Package cli is the commands that people type: one file per command, and the
// only place that wires the parts together. Every main in cmd/ calls one
// function of it: Testbed, MCP, Manager or Agent.
//
// It decides nothing that another room should: it reads flags and environment,
// builds values, runs them and prints. Start reading at command.go and place.go.
package cli
