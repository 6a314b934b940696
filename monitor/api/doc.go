// Package api serves the REST contract of the existing monitor over a store,
// with the status codes, shapes and texts that the Python clients rely on, and
// the stream of the bus's messages as server-sent events.
//
// It must not know SQL, the bus or any command. Each resource is declared as
// data in resources.go and pipeline.go; start reading there and at api.go.
package api
