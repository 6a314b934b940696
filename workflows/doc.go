// Package workflows is what a run does: the stock definitions, the state
// machine of data taking as a table, and the Runner, the supervised program
// that takes run_workflow and stop_workflow from its user's manager, plays the
// table on the clock of package sim and tells the agents and the monitor.
//
// It must not know supervisord, HTTP or who may command whom. Start reading at
// machine.go, then runner.go.
package workflows
