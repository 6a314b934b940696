package audit

import "time"

// Record is one decision. Fields that do not apply are left out of the line.
type Record struct {
	Time time.Time `json:"time"`
	// CallID is the same in every record about one call, in the MCP server and
	// in the manager: it travels on the broker message too.
	CallID    string         `json:"call_id,omitempty"`
	Part      string         `json:"part"`           // who decided: mcp, manager, monitor
	Who       string         `json:"who,omitempty"`  // the principal; empty: nobody knows
	Role      string         `json:"role,omitempty"` // operator or viewer; a user has none
	From      *Origin        `json:"from,omitempty"`
	Action    string         `json:"action"` // the tool, or the verb of a command
	Arguments map[string]any `json:"arguments,omitempty"`
	Consent   string         `json:"consent,omitempty"` // of the person behind the client, where one was asked: given or declined
	Target    string         `json:"target,omitempty"`  // whose testbed
	Decision  Decision       `json:"decision"`
	Code      string         `json:"code,omitempty"`    // of the error, if there is one
	Reason    string         `json:"reason,omitempty"`  // in words
	Outcome   string         `json:"outcome,omitempty"` // what came of it
	CommandID string         `json:"command_id,omitempty"`
	Millis    float64        `json:"ms"`              // how long it took
	Count     int            `json:"count,omitempty"` // further ones like it since the last such record
}

// Origin is where a call came from.
type Origin struct {
	Transport string `json:"transport"`         // stdio, http, sse
	Address   string `json:"address,omitempty"` // of the peer
	Session   string `json:"session,omitempty"` // a digest: the id itself is nobody's business
	Client    string `json:"client,omitempty"`  // what the client calls itself
	Protocol  string `json:"protocol,omitempty"`
}

// Decision is whether the call went on.
type Decision string

// The decisions.
const (
	Allowed Decision = "allowed"
	Refused Decision = "refused"
)
