package api

import (
	"encoding/json"
	"slices"

	"github.com/epic-swf/testbed/monitor/store"
)

// Choices of the contract's enumerations (1.4).
var (
	agentStatuses = []string{"UNKNOWN", "OK", "WARNING", "ERROR", "EXITED"}
	agentStates   = []string{"STARTING", "READY", "PROCESSING", "EXITED"}
	agentTypes    = []string{"daqsim", "data", "processing", "fastmon", "workflow_runner", "monitor",
		"sse_sender", "sse_receiver", "test", "other"}
	fileStatuses = []string{"registered", "processing", "processed", "failed", "done"}
	logLevels    = []string{"50", "40", "30", "20", "10", "0"}
)

// resources are the router viewsets that are served.
func resources() []*resource {
	return []*resource{systemAgents(), subscribers(), logEntries(), definitions(), executions(),
		runs(), stfFiles(), fastmonFiles(), tfSlices(), workers(), runStates(), stateEvents(),
		stfWorkflows(), workflowStages(), workflowMessages()}
}

func systemAgents() *resource {
	return &resource{path: "systemagents", model: "SystemAgent", label: "system agent",
		table: store.Agents, access: accessViewset, owner: ownAgent,
		filters: exact("instance_name", "namespace"),
		fields: []field{
			{name: "instance_name", required: true, max: 100},
			{name: "agent_type", required: true, choices: agentTypes},
			{name: "description", blank: true},
			{name: "status", choices: agentStatuses},
			{name: "last_heartbeat", nullable: true},
			{name: "agent_url", nullable: true, blank: true, max: 200},
			{name: "workflow_enabled"},
			{name: "current_stf_count"}, {name: "total_stf_processed"},
			{name: "last_stf_processed", nullable: true},
			{name: "pid", nullable: true}, {name: "hostname", nullable: true, blank: true, max: 100},
			{name: "operational_state", choices: agentStates},
			{name: "namespace", nullable: true, blank: true, max: 100},
			{name: "metadata", nullable: true},
		}}
}

func subscribers() *resource {
	return &resource{path: "subscribers", model: "Subscriber", label: "subscriber",
		table: store.Subscribers, access: accessViewset,
		fields: []field{
			{name: "subscriber_name", required: true, max: 255},
			{name: "fraction", nullable: true},
			{name: "description", nullable: true, blank: true},
			{name: "is_active"},
			{name: "delivery_type", choices: []string{"activemq", "sse"}},
			{name: "client_ip", nullable: true, isIP: true},
			{name: "client_location", blank: true, max: 255},
			{name: "connected_at", nullable: true}, {name: "disconnected_at", nullable: true},
			{name: "last_activity", nullable: true},
			{name: "message_filters"},
			{name: "messages_received"}, {name: "messages_sent"}, {name: "messages_dropped"},
		}}
}

func logEntries() *resource {
	return &resource{path: "logs", model: "AppLog", label: "app log",
		table: store.Logs, access: accessOpen, owner: ownAgent,
		filters: slices.Concat(exact("app_name", "instance_name"), period("timestamp"), []filter{
			{param: "level_min", column: "level", is: store.AtLeast},
			{param: "search", column: "message", is: store.Contains},
			{param: "execution_id", column: "extra_data", is: store.Contains, member: "execution_id"}}),
		fields: []field{
			{name: "app_name", required: true, max: 100},
			{name: "instance_name", required: true, max: 100},
			{name: "timestamp", required: true},
			{name: "level", required: true, choices: logLevels},
			{name: "levelname", required: true, max: 50},
			{name: "message", required: true},
			{name: "module", required: true, max: 255},
			{name: "funcname", required: true, max: 255},
			{name: "lineno", required: true}, {name: "process", required: true},
			{name: "thread", required: true, wide: true},
			{name: "extra_data", nullable: true},
		}}
}

func definitions() *resource {
	return &resource{path: "workflow-definitions", model: "WorkflowDefinition", label: "workflow definition",
		table: store.Definitions, access: accessViewset, owner: ownDefinition,
		filters: exact("workflow_name", "version"),
		fields: []field{
			{name: "workflow_name", required: true, max: 200},
			{name: "version", required: true, max: 50},
			{name: "workflow_type", required: true, max: 100},
			{name: "definition", required: true},
			{name: "parameter_values", def: json.RawMessage("{}")},
			{name: "created_by", required: true, max: 100},
		}}
}

func executions() *resource {
	return &resource{path: "workflow-executions", model: "WorkflowExecution", label: "workflow execution",
		table: store.Executions, access: accessViewset, owner: ownExecution, change: changeExecution, prepare: prepareExecution,
		filters: append(exact("status", "namespace", "executed_by"), period("start_time")...),
		fields: []field{
			{name: "execution_id", required: true, max: 100},
			{name: "namespace", nullable: true, blank: true, max: 100},
			{name: "parameter_values", required: true},
			{name: "performance_metrics", nullable: true},
			{name: "status", max: 50, def: "pending"},
			{name: "start_time", required: true},
			{name: "end_time", nullable: true},
			{name: "executed_by", required: true, max: 100},
			{name: "workflow_definition", required: true, ref: &reference{store.Definitions, ""}},
		}}
}

func runs() *resource {
	return &resource{path: "runs", model: "Run", label: "run",
		table: store.Runs, access: accessViewset, filters: exact("run_number"),
		fields: []field{
			{name: "run_number", required: true},
			{name: "start_time", required: true},
			{name: "end_time", nullable: true},
			{name: "run_conditions", nullable: true},
		}}
}

func stfFiles() *resource {
	return &resource{path: "stf-files", model: "StfFile", label: "stf file",
		table: store.STFFiles, access: accessViewset, paged: true, check: checkFileFilters, prepare: newKey,
		filters: append(exact("stf_filename", "status"),
			filter{param: "workflow_id", column: "workflow_id", uuid: true},
			filter{param: "run_number", column: "run", is: store.In, of: &via{store.Runs, "run_number", "run_id"}}),
		fields: []field{
			{name: "run", required: true, ref: &reference{store.Runs, ""}},
			{name: "machine_state", max: 64},
			{name: "stf_filename", required: true, max: 255},
			{name: "file_size_bytes", nullable: true, wide: true},
			{name: "checksum", nullable: true, blank: true, max: 64},
			{name: "status", choices: fileStatuses},
			{name: "metadata", nullable: true},
			{name: "workflow_id", nullable: true, isUUID: true},
			{name: "daq_state", nullable: true, blank: true, max: 20},
			{name: "daq_substate", nullable: true, blank: true, max: 20},
			{name: "workflow_status", nullable: true, blank: true, max: 30},
			{name: "tf_count", nullable: true},
		}}
}

func runStates() *resource {
	return &resource{path: "run-states", model: "RunState", label: "run state",
		table: store.RunStates, access: accessViewset,
		prepare: func(a *api, _ *store.Table, r store.Record) {
			if r["state_changed_at"] == nil {
				r["state_changed_at"] = a.now().UTC()
			}
		},
		fields: []field{
			{name: "run_number", required: true},
			{name: "phase", required: true, max: 20},
			{name: "state", required: true, max: 20},
			{name: "substate", nullable: true, blank: true, max: 20},
			{name: "target_worker_count", required: true}, {name: "active_worker_count"},
			{name: "stf_samples_received"}, {name: "slices_created"}, {name: "slices_queued"},
			{name: "slices_processing"}, {name: "slices_completed"}, {name: "slices_failed"},
			{name: "state_changed_at"},
			{name: "metadata", nullable: true},
		}}
}

func stateEvents() *resource {
	return &resource{path: "system-state-events", model: "SystemStateEvent", label: "system state event",
		table: store.StateEvents, access: accessViewset, many: true,
		filters: exact("run_number", "event_type", "state"),
		fields: []field{
			{name: "timestamp", required: true},
			{name: "run_number", required: true},
			{name: "event_type", required: true, max: 50},
			{name: "state", required: true, max: 20},
			{name: "substate", nullable: true, blank: true, max: 20},
			{name: "event_data", def: json.RawMessage("{}")},
		}}
}
