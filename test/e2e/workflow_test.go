package e2e

import (
	"fmt"
	"testing"

	"github.com/epic-swf/testbed/swf"
)

// endless is a run that nobody sees the end of.
const endless = `{"workflow_name":"stf_datataking","config":"stf_datataking_default","realtime":true,"stf_count":100000}`

// quick is one that is over at once.
const quick = `{"workflow_name":"stf_datataking","config":"stf_datataking_default","realtime":false,"stf_count":3}`

func TestWorkflowIsBusyThenStopped(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.call("start_workflow", quick).want("outcome", "refused", "error.code", "not_running").has("error.hint", "start_user_testbed")
	b.start("testbed")

	first := b.call("start_workflow", endless).want("outcome", "succeeded", "namespace", "space", "workflow_name", "stf_datataking")
	id := first.get("execution_id")
	b.execution(id, swf.ExecutionRunning)
	b.call("start_workflow", endless).want("outcome", "refused", "error.code", "busy", "running_execution_id", id).has("error.hint", "stop_workflow")
	b.call("get_testbed_status", `{}`).want("state", "running", "running_workflows", "1", "running_executions.0", id)

	// A stop of the testbed would lose it, and asks first.
	b.call("stop_user_testbed", `{}`).want("outcome", "refused", "error.code", "confirmation_required", "running_executions.0", id)

	b.call("stop_workflow", `{"execution_id":"stf_datataking-nobody-0001"}`).want("outcome", "refused", "error.code", "unknown_execution")
	b.call("stop_workflow", fmt.Sprintf(`{"execution_id":"stf_datataking-%s-9999"}`, b.user)).want("outcome", "refused", "error.code", "unknown_execution")
	b.execution(id, swf.ExecutionRunning)

	b.call("stop_workflow", fmt.Sprintf(`{"execution_id":%q}`, id)).want("outcome", "succeeded", "execution_id", id)
	if x := b.execution(id, swf.ExecutionTerminated); x.EndTime == nil || x.EndTime.Before(x.StartTime.Time) {
		t.Errorf("it ended at %v, having begun at %v", x.EndTime, x.StartTime)
	}
	b.call("stop_workflow", fmt.Sprintf(`{"execution_id":%q}`, id)).want("success", "false")

	// The runner goes on: the next one completes.
	id = b.call("start_workflow", quick).want("outcome", "succeeded").get("execution_id")
	if x := b.execution(id, swf.ExecutionCompleted); x.EndTime == nil {
		t.Error("it has no end_time")
	}
	b.call("stop_user_testbed", `{}`).want("outcome", "succeeded")
	b.nothingRuns()
}
