package store

// The tables, columns in the order of the contract's objects (1.4).
var (
	// Agents are the agents and managers, one for each instance_name.
	Agents = table("agents", "id", "COALESCE(last_heartbeat,0) DESC, id DESC",
		"id:int", "instance_name", "agent_type", "description", "status", "last_heartbeat:time",
		"agent_url", "workflow_enabled:bool", "current_stf_count:int", "total_stf_processed:int",
		"last_stf_processed:time", "pid:int", "hostname", "operational_state", "namespace",
		"metadata:json", "created_at:time", "updated_at:time")

	// Subscribers are who listens to what on the bus.
	Subscribers = table("subscribers", "subscriber_id", "subscriber_id DESC",
		"subscriber_id:int", "subscriber_name", "fraction:float", "description", "is_active:bool",
		"created_at:time", "updated_at:time", "delivery_type", "client_ip", "client_location",
		"connected_at:time", "disconnected_at:time", "last_activity:time", "message_filters:json",
		"messages_received:int", "messages_sent:int", "messages_dropped:int")

	// Logs are log records of agents.
	Logs = table("logs", "id", "timestamp DESC, id DESC",
		"id:int", "app_name", "instance_name", "timestamp:time", "level:int", "levelname", "message",
		"module", "funcname", "lineno:int", "process:int", "thread:int", "extra_data:json")

	// Definitions are workflow definitions, one for each name and version.
	Definitions = table("workflow_definitions", "id", "created_at DESC, id DESC",
		"id:int", "workflow_name", "version", "workflow_type", "definition", "parameter_values:json",
		"created_by", "created_at:time", "updated_at:time")

	// Executions are runs of workflows.
	Executions = keyed("workflow_executions", "execution_id", "start_time DESC, execution_id DESC",
		"execution_id", "namespace", "parameter_values:json", "performance_metrics:json", "status",
		"start_time:time", "end_time:time", "executed_by", "workflow_definition:int")

	// Runs are data-taking runs.
	Runs = table("runs", "run_id", "run_id DESC",
		"run_id:int", "run_number:int", "start_time:time", "end_time:time", "run_conditions:json")

	// STFFiles are super time frame files.
	STFFiles = keyed("stf_files", "file_id", "created_at DESC, file_id DESC",
		"file_id", "run:int", "machine_state", "stf_filename", "file_size_bytes:int", "checksum",
		"created_at:time", "status", "metadata:json", "workflow_id", "daq_state", "daq_substate",
		"workflow_status", "tf_count:int")

	// RunStates are the processing state of runs, by run number.
	RunStates = keyed("run_states", "run_number", "run_number DESC",
		"run_number:int", "phase", "state", "substate", "target_worker_count:int",
		"active_worker_count:int", "stf_samples_received:int", "slices_created:int",
		"slices_queued:int", "slices_processing:int", "slices_completed:int", "slices_failed:int",
		"state_changed_at:time", "created_at:time", "updated_at:time", "metadata:json")

	// StateEvents are what happened to runs, as their sources told.
	StateEvents = table("system_state_events", "event_id", "timestamp DESC, event_id DESC",
		"event_id:int", "timestamp:time", "run_number:int", "event_type", "state", "substate",
		"event_data:json")

	// Namespaces are the isolation labels and who made them.
	Namespaces = keyed("namespaces", "name", "created_at DESC, name",
		"name", "owner", "description", "metadata:json", "created_at:time", "updated_at:time")

	// FastMonFiles are samples of time frames taken from STF files.
	FastMonFiles = keyed("fastmon_files", "tf_file_id", "created_at DESC, tf_file_id DESC",
		"tf_file_id", "stf_file", "tf_filename", "file_size_bytes:int", "checksum", "status",
		"metadata:json", "created_at:time", "updated_at:time", "tf_count:int", "tf_first:int", "tf_last:int")

	// TFSlices are parts of samples, each the work of one worker. Those not
	// completed come first, oldest first: the Python agent books a result on the
	// first slice of a run and number that it is given.
	TFSlices = table("tf_slices", "id", "(completed_at IS NOT NULL), id",
		"id:int", "fastmon_file", "slice_id:int", "tf_first:int", "tf_last:int", "tf_count:int",
		"run_number:int", "status", "retries:int", "metadata:json", "created_at:time",
		"updated_at:time", "assigned_worker", "assigned_at:time", "completed_at:time")

	// Workers are what processes slices.
	Workers = keyed("workers", "worker_id", "started_at DESC, worker_id DESC",
		"worker_id", "run_number:int", "panda_job", "location", "status", "current_slice_id:int",
		"tf_filename", "slices_completed:int", "last_heartbeat:time", "started_at:time",
		"ended_at:time", "metadata:json")

	// STFWorkflows are the ways of STF files through the agents.
	STFWorkflows = keyed("stf_workflows", "workflow_id", "generated_time DESC, workflow_id DESC",
		"workflow_id", "filename", "file_id", "daq_state", "daq_substate", "generated_time:time",
		"stf_start_time:time", "stf_end_time:time", "current_status", "current_agent",
		"completed_at:time", "failed_at:time", "failure_reason", "stf_metadata:json",
		"created_at:time", "updated_at:time")

	// Stages are what one agent did on the way of one STF file.
	Stages = keyed("workflow_stages", "stage_id", "workflow, created_at, stage_id",
		"stage_id", "agent_name", "agent_type", "status", "received_at:time", "started_at:time",
		"completed_at:time", "failed_at:time", "processing_time_seconds:float", "failure_reason",
		"input_message:json", "output_message:json", "stage_metadata:json", "created_at:time",
		"updated_at:time", "workflow")

	// Messages are those of the bus, and those that agents post.
	Messages = keyed("workflow_messages", "message_id", "sent_at DESC, message_id DESC",
		"message_id", "message_type", "request_id:int", "sender_agent", "sender_type",
		"recipient_agent", "recipient_type", "namespace", "execution_id", "run_id",
		"message_content:json", "message_metadata:json", "sent_at:time", "delivered_at:time",
		"acknowledged_at:time", "is_successful:bool", "error_message", "queue_name",
		"correlation_id", "workflow", "stage")

	// AIMemory is what people and their assistants said to each other.
	AIMemory = table("ai_memory", "id", "id DESC",
		"id:int", "username", "session_id", "role", "content", "created_at:time", "namespace",
		"project_path")
)

// table declares a table whose integer key the database gives.
func table(name, key, order string, columns ...string) *Table {
	t := keyed(name, key, order, columns...)
	t.AutoKey = true
	return t
}

// keyed declares a table whose key the writer gives. A column is "name" for
// text, else "name:kind".
func keyed(name, key, order string, columns ...string) *Table {
	t := &Table{Name: name, Key: key, Order: order}
	for _, spec := range columns {
		c := parseColumn(spec)
		t.Columns = append(t.Columns, c)
		switch c.Name {
		case "created_at":
			t.created = true
		case "updated_at":
			t.stamped = true
		}
	}
	return t
}

func parseColumn(spec string) Column {
	kinds := map[string]Kind{"int": Int, "float": Float, "bool": Bool, "time": Time, "json": JSON}
	for i := range len(spec) {
		if spec[i] == ':' {
			return Column{spec[:i], kinds[spec[i+1:]]}
		}
	}
	return Column{spec, Text}
}
