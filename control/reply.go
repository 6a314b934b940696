package control

import (
	"encoding/json"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// Kind is what a reply is.
type Kind string

// The kinds of replies. A command gets at most one Accepted that counts, any
// number of Progress, and exactly one Outcome, for ever.
const (
	Accepted Kind = "accepted"
	Progress Kind = "progress"
	Final    Kind = "outcome"

	// Rejected tells that a copy of a command did not bear a key of the manager
	// and was dropped. It is no outcome: another copy may do, and who says it is
	// not known.
	Rejected Kind = "rejected"
)

// Outcome is how a command ended.
type Outcome string

// The outcomes. Pending is not one: it is what a client says while it does
// not know.
const (
	Succeeded Outcome = "succeeded"
	Failed    Outcome = "failed"
	Refused   Outcome = "refused"
	Expired   Outcome = "expired"
	Pending   Outcome = "pending"
)

// Reply is one answer of a manager. Unknown fields are ignored.
type Reply struct {
	CommandID   string        `json:"command_id"`
	Intent      string        `json:"intent,omitempty"` // of the command answered, where two may have used one id
	Kind        Kind          `json:"kind"`
	Outcome     Outcome       `json:"outcome,omitempty"`
	Error       *swf.Error    `json:"error,omitempty"`
	Message     string        `json:"message,omitempty"` // progress and success, in the user's words
	Programs    []swf.Program `json:"programs,omitempty"`
	Namespace   string        `json:"namespace,omitempty"`
	Config      string        `json:"config,omitempty"`
	ExecutionID string        `json:"execution_id,omitempty"`
	FinishedAt  *time.Time    `json:"finished_at,omitempty"`
	Inferred    bool          `json:"-"` // of a Python manager: read from its status, or not known at all

	// Status and ping only.
	Pong    *Pong           `json:"pong,omitempty"`
	Of      *Reply          `json:"of,omitempty"`      // status of a command: its outcome
	Text    string          `json:"text,omitempty"`    // status of a log: its end
	Details json.RawMessage `json:"details,omitempty"` // status of the configuration
}

// Pong is what a manager tells of itself with every ping and status.
type Pong struct {
	Protocol   int              `json:"protocol"`
	Instance   string           `json:"instance"` // new at each start of the daemon
	Username   string           `json:"username"`
	Host       string           `json:"host"`
	PID        int              `json:"pid"`
	Version    string           `json:"version,omitempty"`
	Now        time.Time        `json:"now"`
	State      swf.TestbedState `json:"state"`
	Namespace  string           `json:"namespace,omitempty"`
	Config     string           `json:"config,omitempty"`
	Dir        string           `json:"dir,omitempty"`
	BusyWith   Verb             `json:"busy_with,omitempty"`
	BusyID     string           `json:"busy_id,omitempty"`
	BusySince  *time.Time       `json:"busy_since,omitempty"`
	KeyIDs     []string         `json:"key_ids,omitempty"`
	Supervisor string           `json:"supervisord,omitempty"` // running, stopped or hung
	Sealed     string           `json:"sealed,omitempty"`      // why only ping and status are taken
}

// Outcomes answered without a manager.

// Refusal makes the outcome of a command that was not begun.
func Refusal(id string, err error) Reply {
	return Reply{CommandID: id, Kind: Final, Outcome: Refused, Error: swf.AsError(err)}
}
