package swf

import "encoding/json"

// Statuses and operational states that agents report (contract 1.4).
const (
	StatusOK      = "OK"
	StatusWarning = "WARNING"
	StatusError   = "ERROR"
	StatusExited  = "EXITED"

	OpStarting   = "STARTING"
	OpReady      = "READY"
	OpProcessing = "PROCESSING"
	OpExited     = "EXITED"
)

// AgentTypeManager is the agent_type of a manager's heartbeat.
const AgentTypeManager = "agent_manager"

// The log records by which a manager tells the monitor of its commands: the
// app_name and the funcname, under contract 1.4.
const (
	AppManager  = "agent_manager"
	FuncCommand = "command"
)

// Heartbeat is what an agent or a manager tells the monitor of itself:
// POST /api/systemagents/heartbeat/, contract 1.4.
type Heartbeat struct {
	InstanceName     string         `json:"instance_name"`
	AgentType        string         `json:"agent_type"`
	Status           string         `json:"status"`
	Description      string         `json:"description"`
	OperationalState string         `json:"operational_state"`
	Namespace        *string        `json:"namespace"` // always sent; null when none
	PID              int            `json:"pid,omitempty"`
	Hostname         string         `json:"hostname,omitempty"`
	MQConnected      *bool          `json:"mq_connected,omitempty"`
	WorkflowEnabled  *bool          `json:"workflow_enabled,omitempty"`
	CurrentSTFs      *int           `json:"current_stf_count,omitempty"`
	TotalSTFs        *int           `json:"total_stf_processed,omitempty"`
	Metadata         map[string]any `json:"metadata,omitempty"`
}

// Agent is a SystemAgent as the monitor shows it, fields in its order.
type Agent struct {
	ID               int64           `json:"id"`
	InstanceName     string          `json:"instance_name"`
	AgentType        string          `json:"agent_type"`
	Description      string          `json:"description"`
	Status           string          `json:"status"`
	LastHeartbeat    *Timestamp      `json:"last_heartbeat"`
	AgentURL         *string         `json:"agent_url"`
	WorkflowEnabled  bool            `json:"workflow_enabled"`
	CurrentSTFs      int             `json:"current_stf_count"`
	TotalSTFs        int             `json:"total_stf_processed"`
	LastSTFProcessed *Timestamp      `json:"last_stf_processed"`
	PID              *int            `json:"pid"`
	Hostname         *string         `json:"hostname"`
	OperationalState string          `json:"operational_state"`
	Namespace        *string         `json:"namespace"`
	Metadata         json.RawMessage `json:"metadata"`
	CreatedAt        Timestamp       `json:"created_at"`
	UpdatedAt        Timestamp       `json:"updated_at"`
}
