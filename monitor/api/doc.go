// Package api serves the REST contract of the existing monitor over a store:
// the allocators, agents and their heartbeats, logs, definitions, executions,
// runs and files, with the status codes, shapes and texts that the Python
// clients rely on.
//
// It must not know SQL, the bus or any command. Each resource is declared as
// data in resources.go; start reading there and at api.go.
package api
