package api

import (
	"maps"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// changeExecution decides what a PATCH or PUT does to an execution. As in the
// contract it overwrites, also one terminal status with another, with three
// exceptions, so that an execution that has ended stays ended:
//   - a terminal status never becomes one that is not (400);
//   - an end_time that is set is never erased (the Python runner sends null
//     with "terminated" after "completed"); null is then ignored;
//   - a terminal status that leaves no end_time gets this monitor's clock.
func changeExecution(a *api, current, set store.Record) (store.Record, error) {
	set = maps.Clone(set)
	was, _ := current["status"].(string)
	status := was
	if s, given := set["status"].(string); given {
		status = s
	}
	if swf.ExecutionEnded(was) && !swf.ExecutionEnded(status) {
		return nil, badRequest(fieldErrors{"status": {"A workflow execution that is " + was + " cannot become " + status + "."}})
	}
	if end, given := set["end_time"]; given && end == nil {
		delete(set, "end_time")
	}
	if swf.ExecutionEnded(status) && current["end_time"] == nil && set["end_time"] == nil {
		set["end_time"] = a.now().UTC()
	}
	return set, nil
}

// prepareExecution gives an execution that is told only when it is over an
// end.
func prepareExecution(a *api, _ *store.Table, r store.Record) {
	if status, _ := r["status"].(string); swf.ExecutionEnded(status) && r["end_time"] == nil {
		r["end_time"] = a.now().UTC()
	}
}
