package swf

// Types of the messages on TopicWorkflow (contract 2.5).
const (
	MsgRunImminent = "run_imminent"
	MsgStartRun    = "start_run"
	MsgPauseRun    = "pause_run"
	MsgResumeRun   = "resume_run"
	MsgEndRun      = "end_run"
	MsgSTFGen      = "stf_gen"
	MsgSTFReady    = "stf_ready"
)

// Message is a bus message: a flat JSON object, kept open because each type
// has fields of its own and unknown ones must survive.
type Message map[string]any

// Type returns msg_type, or "" when there is none.
func (m Message) Type() string { return m.str("msg_type") }

// Namespace returns the isolation label, or "".
func (m Message) Namespace() string { return m.str("namespace") }

// ExecutionID returns execution_id, or "".
func (m Message) ExecutionID() string { return m.str("execution_id") }

// RunID returns run_id, the run number as a string, or "".
func (m Message) RunID() string { return m.str("run_id") }

func (m Message) str(key string) string {
	s, _ := m[key].(string)
	return s
}

// ForNamespace applies the contract's filter (2.4): a message is for own
// unless both namespaces are set and differ.
func (m Message) ForNamespace(own string) bool {
	theirs := m.Namespace()
	return own == "" || theirs == "" || theirs == own
}
