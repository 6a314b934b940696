package cli

// TestMonitor is the monitor of the tests: cli itself does not link it.
var TestMonitor MonitorPart
