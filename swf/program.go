package swf

import "time"

// ProgramState is a program's state in supervisord's words.
type ProgramState string

// The states of a program (supervisord's process states).
const (
	ProgramStopped  ProgramState = "STOPPED"
	ProgramStarting ProgramState = "STARTING"
	ProgramRunning  ProgramState = "RUNNING"
	ProgramBackoff  ProgramState = "BACKOFF"
	ProgramStopping ProgramState = "STOPPING"
	ProgramExited   ProgramState = "EXITED"
	ProgramFatal    ProgramState = "FATAL"
	ProgramUnknown  ProgramState = "UNKNOWN"
)

// Active reports whether supervisord has, or may soon have, a process for it.
func (s ProgramState) Active() bool {
	switch s {
	case ProgramStarting, ProgramRunning, ProgramBackoff, ProgramStopping:
		return true
	}
	return false
}

// Program is one supervised program as seen at one moment.
type Program struct {
	Name      string       `json:"name"`
	State     ProgramState `json:"state"`
	PID       int          `json:"pid,omitempty"`
	Since     *time.Time   `json:"since,omitempty"` // start of the present state's process
	Reason    string       `json:"reason,omitempty"`
	LogTail   string       `json:"log_tail,omitempty"`
	LogFile   string       `json:"log_file,omitempty"`
	Host      string       `json:"host,omitempty"`
	Restarted bool         `json:"restarted,omitempty"` // the pid differs from the one the start saw
}

// TestbedState sums up the programs of one testbed.
type TestbedState string

// The states of a testbed.
const (
	TestbedStopped  TestbedState = "stopped"
	TestbedStarting TestbedState = "starting"
	TestbedRunning  TestbedState = "running"
	TestbedStopping TestbedState = "stopping"
	TestbedPartial  TestbedState = "partial"
	TestbedUnknown  TestbedState = "unknown"
)
