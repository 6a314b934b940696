package supervisor

import (
	"fmt"
	"time"
)

// State is a process state as supervisord counts them.
type State int

// The states of a process.
const (
	Stopped  State = 0
	Starting State = 10
	Running  State = 20
	Backoff  State = 30
	Stopping State = 40
	Exited   State = 100
	Fatal    State = 200
	Unknown  State = 1000
)

var stateNames = map[State]string{
	Stopped: "STOPPED", Starting: "STARTING", Running: "RUNNING", Backoff: "BACKOFF",
	Stopping: "STOPPING", Exited: "EXITED", Fatal: "FATAL", Unknown: "UNKNOWN",
}

// String is the name that supervisorctl prints, such as RUNNING.
func (s State) String() string {
	if n, ok := stateNames[s]; ok {
		return n
	}
	return fmt.Sprintf("STATE_%d", int(s))
}

// Active says that there is, or in a moment may be, a process: STARTING,
// RUNNING, BACKOFF or STOPPING. FATAL and EXITED are as stopped as STOPPED.
func (s State) Active() bool {
	switch s {
	case Starting, Running, Backoff, Stopping:
		return true
	}
	return false
}

// Process is one program in one snapshot.
type Process struct {
	Name, Group string
	State       State
	PID         int       // 0 when there is none
	Start, Stop time.Time // of the last start and stop, whole seconds; zero when never
	Now         time.Time // supervisord's clock when it answered
	SpawnErr    string    // why the last spawn failed
	ExitStatus  int       // of the last exit
	LogFile     string    // absolute path of stdout's log; "" when there is none
	ErrLogFile  string    // the same for stderr; "" when it goes to stdout's
}

// Spec is the name by which supervisord knows the process: "group:name", or
// just the name where the group is of the same name.
func (p Process) Spec() string { return spec(p.Group, p.Name) }

// Active is State.Active.
func (p Process) Active() bool { return p.State.Active() }

func spec(group, name string) string {
	if group == "" || group == name {
		return name
	}
	return group + ":" + name
}

// active are those that are not at rest.
func active(ps []Process) []Process {
	var out []Process
	for _, p := range ps {
		if p.Active() {
			out = append(out, p)
		}
	}
	return out
}

// sameStates tells whether nothing that a person would see has changed.
func sameStates(a, b []Process) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name || a[i].Group != b[i].Group || a[i].State != b[i].State || a[i].PID != b[i].PID {
			return false
		}
	}
	return true
}
