package e2e

import (
	"fmt"
	"testing"

	"github.com/epic-swf/testbed/swf"
)

// TestViewsTellHowARunWent asks everything that only looks, after a run.
func TestViewsTellHowARunWent(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.call("list_workflow_executions", `{}`).want("total_count", "0").has("note", "start_workflow")
	b.start("testbed")
	id := b.call("start_workflow", quick).want("outcome", "succeeded").get("execution_id")
	b.execution(id, swf.ExecutionCompleted)

	b.call("list_workflow_executions", `{}`).want("total_count", "1", "has_more", "false", "items.0.execution_id", id, "items.0.status", "completed", "items.0.mine", "true")
	b.call("list_workflow_executions", `{"status":"failed"}`).want("total_count", "0").has("note", "1 without status=failed")
	b.call("get_workflow_execution", fmt.Sprintf(`{"execution_id":%q}`, id)).want("status", "completed", "phase", "ended", "stf_count", "3", "executed_by", b.user)
	b.call("get_workflow_execution", `{"execution_id":"stf_datataking-nobody-0001"}`).want("error.code", "unknown_execution")
	b.call("list_agents", `{"agent_type":"agent_manager"}`).want("total_count", "1", "items.0.name", swf.ManagerInstance(b.user), "items.0.mine", "true")
	b.call("get_agent_log", `{"program":"workflow-runner","lines":200}`).want("state", "RUNNING").has("log", "Workflow completed: "+id)
	b.call("get_agent_log", `{"program":"workflow-walker"}`).want("error.code", "unknown_program").has("error.hint", "workflow-runner")
	b.stop()
	b.nothingRuns()
}
