package api

import (
	"encoding/json"

	"github.com/epic-swf/testbed/monitor/store"
)

// Choices of the contract's enumerations for what goes through the pipeline
// (1.5).
var (
	daqStates     = []string{"no_beam", "beam", "run", "calib", "test"}
	daqSubstates  = []string{"not_ready", "ready", "physics", "standby", "lumi", "eic", "epic", "daq", "calib"}
	pipelineTypes = []string{"daqsim", "data", "processing", "fastmon", "monitor"}
	workflowSteps = []string{"generated",
		"daqsim_received", "daqsim_processing", "daqsim_complete", "data_received", "data_processing", "data_complete",
		"processing_received", "processing_processing", "processing_complete",
		"fastmon_received", "fastmon_processing", "fastmon_complete", "workflow_complete", "failed"}
)

func fastmonFiles() *resource {
	return &resource{path: "fastmon-files", model: "FastMonFile", label: "fast mon file",
		table: store.FastMonFiles, access: accessViewset, paged: true, prepare: newKey,
		filters: append(exact("tf_filename", "status"), filter{param: "stf_filename", column: "stf_file"}),
		fields: []field{
			{name: "stf_file", required: true, ref: &reference{store.STFFiles, "stf_filename"}},
			{name: "tf_filename", required: true, max: 255},
			{name: "file_size_bytes", nullable: true, wide: true},
			{name: "checksum", nullable: true, blank: true, max: 64},
			{name: "status", choices: fileStatuses},
			{name: "metadata", nullable: true},
			{name: "tf_count", nullable: true}, {name: "tf_first", nullable: true}, {name: "tf_last", nullable: true},
		}}
}

func tfSlices() *resource {
	return &resource{path: "tf-slices", model: "TFSlice", label: "tf slice",
		table: store.TFSlices, access: accessViewset, many: true, shape: shapeSlice, change: changeSlice,
		filters: append(exact("id", "run_number", "status", "assigned_worker", "slice_id"),
			filter{param: "fastmon_file__tf_filename", column: "fastmon_file"},
			filter{param: "fastmon_file_id", column: "fastmon_file", is: store.In, uuid: true,
				of: &via{store.FastMonFiles, "tf_file_id", "tf_filename"}},
			filter{param: "fastmon_file__stf_file__stf_filename", column: "fastmon_file", is: store.In,
				of: &via{store.FastMonFiles, "stf_file", "tf_filename"}}),
		fields: []field{
			{name: "fastmon_file", required: true, ref: &reference{store.FastMonFiles, "tf_filename"}},
			{name: "slice_id", required: true},
			{name: "tf_first", required: true}, {name: "tf_last", required: true}, {name: "tf_count", required: true},
			{name: "run_number", required: true},
			{name: "status", max: 20},
			{name: "retries"},
			{name: "metadata", nullable: true},
			{name: "assigned_worker", nullable: true, blank: true, max: 255},
			{name: "assigned_at", nullable: true}, {name: "completed_at", nullable: true},
		}}
}

func workers() *resource {
	return &resource{path: "workers", model: "Worker", label: "worker",
		table: store.Workers, access: accessViewset, filters: exact("run_number", "status", "location"),
		fields: []field{
			{name: "worker_id", required: true, max: 255},
			{name: "run_number", required: true},
			{name: "panda_job", required: true, max: 255},
			{name: "location", required: true, max: 255},
			{name: "status", required: true, max: 20},
			{name: "current_slice_id", nullable: true},
			{name: "tf_filename", nullable: true, blank: true, max: 255},
			{name: "slices_completed"},
			{name: "last_heartbeat", nullable: true},
			{name: "started_at", required: true},
			{name: "ended_at", nullable: true},
			{name: "metadata", nullable: true},
		}}
}

func stfWorkflows() *resource {
	return &resource{path: "workflows", model: "STFWorkflow", label: "stf workflow",
		table: store.STFWorkflows, access: accessViewset, prepare: newKey,
		fields: []field{
			{name: "filename", required: true, max: 255},
			{name: "file_id", nullable: true, isUUID: true},
			{name: "daq_state", required: true, choices: daqStates},
			{name: "daq_substate", required: true, choices: daqSubstates},
			{name: "generated_time", required: true},
			{name: "stf_start_time", required: true}, {name: "stf_end_time", required: true},
			{name: "current_status", choices: workflowSteps},
			{name: "current_agent", choices: pipelineTypes},
			{name: "completed_at", nullable: true}, {name: "failed_at", nullable: true},
			{name: "failure_reason", nullable: true, blank: true},
			{name: "stf_metadata", nullable: true},
		}}
}

func workflowStages() *resource {
	return &resource{path: "workflow-stages", model: "AgentWorkflowStage", label: "agent workflow stage",
		table: store.Stages, access: accessViewset, prepare: newKey,
		fields: []field{
			{name: "agent_name", required: true, max: 100},
			{name: "agent_type", required: true, choices: pipelineTypes},
			{name: "status", choices: workflowSteps},
			{name: "received_at", nullable: true}, {name: "started_at", nullable: true},
			{name: "completed_at", nullable: true}, {name: "failed_at", nullable: true},
			{name: "processing_time_seconds", nullable: true},
			{name: "failure_reason", nullable: true, blank: true},
			{name: "input_message", nullable: true}, {name: "output_message", nullable: true},
			{name: "stage_metadata", nullable: true},
			{name: "workflow", required: true, ref: &reference{store.STFWorkflows, ""}},
		}}
}

// workflowMessages are the bus messages that the recorder keeps, and posted
// ones. sent_at is the monitor's clock, also for those.
func workflowMessages() *resource {
	return &resource{path: "workflow-messages", model: "WorkflowMessage", label: "workflow message",
		table: store.Messages, access: accessViewset, oldest: given("execution_id"),
		filters: append(exact("execution_id", "namespace", "message_type", "sender_agent", "run_id"), period("sent_at")...),
		prepare: func(a *api, t *store.Table, r store.Record) {
			newKey(a, t, r)
			r["sent_at"] = a.now().UTC()
		},
		fields: []field{
			{name: "message_type", required: true, max: 50},
			{name: "request_id", nullable: true},
			{name: "sender_agent", nullable: true, blank: true, max: 100},
			{name: "sender_type", nullable: true, blank: true, choices: pipelineTypes},
			{name: "recipient_agent", nullable: true, blank: true, max: 100},
			{name: "recipient_type", nullable: true, blank: true, choices: pipelineTypes},
			{name: "namespace", nullable: true, blank: true, max: 100},
			{name: "execution_id", nullable: true, blank: true, max: 100},
			{name: "run_id", nullable: true, blank: true, max: 50},
			{name: "message_content", required: true},
			{name: "message_metadata", nullable: true, def: json.RawMessage("{}")},
			{name: "delivered_at", nullable: true}, {name: "acknowledged_at", nullable: true},
			{name: "is_successful", nullable: true},
			{name: "error_message", nullable: true, blank: true},
			{name: "queue_name", nullable: true, blank: true, max: 100},
			{name: "correlation_id", nullable: true, blank: true, max: 100},
			{name: "workflow", nullable: true, ref: &reference{store.STFWorkflows, ""}},
			{name: "stage", nullable: true, ref: &reference{store.Stages, ""}},
		}}
}
