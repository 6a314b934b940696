// Package agents holds the example agents (data, processing, fastmon, fast
// processing and the simulated workers) and the Base that they, and the workflow
// runner, share: a name from the monitor, the namespace filter, heartbeats, logs
// that reach the monitor, and an orderly end. An agent works with the monitor
// down; what the monitor must hear waits in an Outbox.
//
// It must not know supervisord or how commands travel. Start reading at
// base.go and desk.go; data.go is the simplest agent.
package agents
