package swf

import "encoding/json"

// RunState is how far the processing of a run is, contract 1.4, by run number.
type RunState struct {
	RunNumber          int64           `json:"run_number"`
	Phase              string          `json:"phase"`
	State              string          `json:"state"`
	Substate           *string         `json:"substate"`
	TargetWorkerCount  int             `json:"target_worker_count"`
	ActiveWorkerCount  int             `json:"active_worker_count"`
	STFSamplesReceived int             `json:"stf_samples_received"`
	SlicesCreated      int             `json:"slices_created"`
	SlicesQueued       int             `json:"slices_queued"`
	SlicesProcessing   int             `json:"slices_processing"`
	SlicesCompleted    int             `json:"slices_completed"`
	SlicesFailed       int             `json:"slices_failed"`
	StateChangedAt     Timestamp       `json:"state_changed_at,omitzero"` // zero: the monitor's clock
	CreatedAt          *Timestamp      `json:"created_at,omitempty"`
	UpdatedAt          *Timestamp      `json:"updated_at,omitempty"`
	Metadata           json.RawMessage `json:"metadata"`
}

// StateEvent is something that happened to a run, contract 1.4. RunNumber must
// not be zero.
type StateEvent struct {
	EventID   int64           `json:"event_id,omitempty"`
	Timestamp Timestamp       `json:"timestamp"`
	RunNumber int64           `json:"run_number"`
	EventType string          `json:"event_type"`
	State     string          `json:"state"`
	Substate  *string         `json:"substate"`
	EventData json.RawMessage `json:"event_data"`
}
