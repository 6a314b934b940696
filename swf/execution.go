package swf

import "encoding/json"

// Statuses of an execution. Running is the only one that is not terminal.
const (
	ExecutionRunning    = "running"
	ExecutionCompleted  = "completed"
	ExecutionFailed     = "failed"
	ExecutionTerminated = "terminated"
	ExecutionLost       = "lost"
)

// Execution is one workflow run, contract 1.4, fields in the monitor's order.
type Execution struct {
	ExecutionID        string          `json:"execution_id"`
	Namespace          *string         `json:"namespace"`
	ParameterValues    json.RawMessage `json:"parameter_values"`
	PerformanceMetrics json.RawMessage `json:"performance_metrics"`
	Status             string          `json:"status"`
	StartTime          Timestamp       `json:"start_time"`
	EndTime            *Timestamp      `json:"end_time"`
	ExecutedBy         string          `json:"executed_by"`
	WorkflowDefinition int64           `json:"workflow_definition"`
}

// Definition is a workflow definition, contract 1.4: immutable once posted.
type Definition struct {
	ID              int64           `json:"id,omitempty"`
	WorkflowName    string          `json:"workflow_name"`
	Version         string          `json:"version"`
	WorkflowType    string          `json:"workflow_type"`
	Definition      string          `json:"definition"`
	ParameterValues json.RawMessage `json:"parameter_values"`
	CreatedBy       string          `json:"created_by"`
	CreatedAt       *Timestamp      `json:"created_at,omitempty"`
	UpdatedAt       *Timestamp      `json:"updated_at,omitempty"`
}

// Run is a data-taking run. RunID is the monitor's key, RunNumber the one that
// messages carry (as a string) in run_id.
type Run struct {
	RunID         int64           `json:"run_id"`
	RunNumber     int64           `json:"run_number"`
	StartTime     Timestamp       `json:"start_time"`
	EndTime       *Timestamp      `json:"end_time"`
	RunConditions json.RawMessage `json:"run_conditions"`
}

// STFFile is a registered super time frame file.
type STFFile struct {
	FileID        string          `json:"file_id"`
	Run           int64           `json:"run"`
	MachineState  string          `json:"machine_state"`
	STFFilename   string          `json:"stf_filename"`
	FileSizeBytes *int64          `json:"file_size_bytes"`
	Checksum      *string         `json:"checksum"`
	CreatedAt     Timestamp       `json:"created_at"`
	Status        string          `json:"status"`
	Metadata      json.RawMessage `json:"metadata"`
	WorkflowID    *string         `json:"workflow_id"`
	DAQState      *string         `json:"daq_state"`
	DAQSubstate   *string         `json:"daq_substate"`
	WorkflowStat  *string         `json:"workflow_status"`
	TFCount       *int            `json:"tf_count"`
}

// LogEntry is one record for POST /api/logs/. Every field but ExtraData is
// required by the contract; Level is a Python logging level.
type LogEntry struct {
	ID           int64           `json:"id,omitempty"`
	AppName      string          `json:"app_name"`
	InstanceName string          `json:"instance_name"`
	Timestamp    Timestamp       `json:"timestamp"`
	Level        int             `json:"level"`
	LevelName    string          `json:"levelname"`
	Message      string          `json:"message"`
	Module       string          `json:"module"`
	FuncName     string          `json:"funcname"`
	LineNo       int             `json:"lineno"`
	Process      int             `json:"process"`
	Thread       int64           `json:"thread"`
	ExtraData    json.RawMessage `json:"extra_data"`
}
