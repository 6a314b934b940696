// Package sim is a discrete-event clock: processes are plain functions that
// sleep in simulated seconds, and the clock wakes them one at a time, in the
// order of their times. It runs as fast as it can, or paced by the wall clock;
// either way the ticks are exactly the same, because it counts whole
// microseconds.
//
// It knows nothing of workflows, messages or logs. Start reading at clock.go.
package sim
