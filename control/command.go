package control

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// Verb is what a command asks for.
type Verb string

// The verbs. Status and Ping only look; they are never journaled.
const (
	StartTestbed Verb = "start_testbed"
	StopTestbed  Verb = "stop_testbed"
	RunWorkflow  Verb = "run_workflow"
	StopWorkflow Verb = "stop_workflow"
	Status       Verb = "status"
	Ping         Verb = "ping"
	Restart      Verb = "restart"
)

// Effect reports whether the verb changes anything.
func (v Verb) Effect() bool { return v != Status && v != Ping }

// Protocol is the version that a pong tells. Version 2 answers accepted,
// progress and outcome; a Python manager tells none.
const Protocol = 2

// Limits of the wire (design, rules 2 and 4).
const (
	TTL        = 60 * time.Second // a command not begun by then never is
	MaxTTL     = 10 * time.Minute // expires_at - issued_at at most
	MaxSkew    = 5 * time.Second  // how far ahead issued_at may be
	BrokerSlop = 10 * time.Minute // header expires = expires_at + this, so the manager says expired
	MaxBody    = 128 << 10        // bytes of one command or reply
)

// Command is one command as it travels: flat JSON with the upstream fields
// first, so that a Python manager understands it (contract 3). Unknown fields
// are ignored.
type Command struct {
	Verb       Verb            `json:"command"`
	ID         string          `json:"command_id,omitempty"`
	Username   string          `json:"username,omitempty"`
	ConfigName string          `json:"config_name,omitempty"`
	Params     json.RawMessage `json:"params,omitempty"`
	IssuedBy   string          `json:"issued_by,omitempty"`
	IssuedAt   time.Time       `json:"issued_at,omitzero"`
	ExpiresAt  time.Time       `json:"expires_at,omitzero"`
	ReplyTo    string          `json:"reply_to,omitempty"`
	Source     string          `json:"source,omitempty"`
	CallID     string          `json:"call_id,omitempty"`   // of the call that sent it, for the audit trails
	Timestamp  string          `json:"timestamp,omitempty"` // what Python senders put
	Of         *Of             `json:"of,omitempty"`        // status only
}

// Of narrows a status: to the outcome of a command, the end of a program's
// log, or the resolved configuration.
type Of struct {
	CommandID string `json:"command_id,omitempty"`
	Log       string `json:"log,omitempty"`
	Config    bool   `json:"config,omitempty"`
}

// RunParams are the params of RunWorkflow.
type RunParams struct {
	Workflow  string         `json:"workflow_name,omitempty"`
	Config    string         `json:"config,omitempty"`
	Namespace string         `json:"namespace,omitempty"` // checked against the testbed's own
	Realtime  *bool          `json:"realtime,omitempty"`  // default: the config's
	Duration  float64        `json:"duration,omitempty"`  // seconds of simulated time, 0 is no limit
	Params    map[string]any `json:"params,omitempty"`    // overrides of workflow parameters
}

// StopParams are the params of StopWorkflow.
type StopParams struct {
	ExecutionID string `json:"execution_id,omitempty"` // empty: whatever runs
	Namespace   string `json:"namespace,omitempty"`    // for Python runners, which ignore other namespaces
}

// intent is what an id stands for. Times, source and reply_to differ in an
// honest retry and do not count.
type intent struct {
	Verb       Verb            `json:"command"`
	Username   string          `json:"username"`
	ConfigName string          `json:"config_name"`
	Params     json.RawMessage `json:"params"`
	IssuedBy   string          `json:"issued_by"`
}

// Intent returns a digest of what the command means: two commands of one id are
// the same command exactly when their intents are equal.
func (c *Command) Intent() string {
	params := c.Params
	if len(params) > 0 {
		var v any // sorted keys, one spelling of white space; numbers as they are written, for not each has a float64
		dec := json.NewDecoder(bytes.NewReader(params))
		dec.UseNumber()
		if dec.Decode(&v) == nil {
			params, _ = json.Marshal(v)
		}
	}
	if len(params) == 0 || string(params) == "{}" {
		params = json.RawMessage("null")
	}
	b, _ := json.Marshal(intent{c.Verb, c.Username, c.ConfigName, params, c.IssuedBy})
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Check returns an invalid_argument Error for a command whose names do not
// match their closed patterns. It does not look at times.
func (c *Command) Check() error {
	switch c.Verb {
	case StartTestbed, StopTestbed, RunWorkflow, StopWorkflow, Status, Ping, Restart:
	default:
		return swf.E(swf.CodeUnknownCommand, fmt.Sprintf("unknown command %q", clip(string(c.Verb), 80)),
			"the commands are start_testbed, stop_testbed, run_workflow, stop_workflow, status, ping and restart")
	}
	if err := swf.CheckName(swf.KindUsername, c.Username); err != nil {
		return err
	}
	if c.Verb.Effect() || c.ID != "" {
		if err := swf.CheckName(swf.KindCommandID, c.ID); err != nil {
			return err
		}
	}
	if c.CallID != "" {
		if err := swf.CheckName(swf.KindCommandID, c.CallID); err != nil {
			return err
		}
	}
	if c.ConfigName != "" {
		return swf.CheckName(swf.KindConfig, c.ConfigName)
	}
	return nil
}

// Complete fills in what a sender may leave out: the id, the times, and the
// stamp that Python receivers read.
func (c *Command) Complete(now time.Time) {
	if c.ID == "" {
		c.ID = NewID()
	}
	if c.IssuedAt.IsZero() {
		c.IssuedAt = now
	}
	if c.ExpiresAt.IsZero() {
		c.ExpiresAt = c.IssuedAt.Add(TTL)
	}
	c.Timestamp = swf.NaiveStamp(c.IssuedAt)
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
