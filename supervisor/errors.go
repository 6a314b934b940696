package supervisor

import (
	"errors"
	"fmt"
	"strings"
)

// The states of a supervisord that are not an answer. Test with errors.Is.
var (
	// ErrNotRunning: nothing listens at the address (no socket, or a stale one).
	ErrNotRunning = errors.New("supervisord is not running")
	// ErrHung: something accepts the connection and does not answer in time.
	ErrHung = errors.New("supervisord does not answer")
	// ErrAlreadyRunning: a supervisord answers where one was to be spawned.
	ErrAlreadyRunning = errors.New("a supervisord is running already")
	// ErrShuttingDown: supervisord is on its way out and refuses every call.
	ErrShuttingDown = errors.New("supervisord is shutting down")
	// ErrForbidden: the socket or the credentials are not ours.
	ErrForbidden = errors.New("access to supervisord denied")
	// ErrNoBinary: no supervisord to execute was found.
	ErrNoBinary = errors.New("supervisord is not installed")
)

// FaultCode is a supervisord fault, https://supervisord.org/api.html.
type FaultCode int

// The faults that the calls of this package can meet.
const (
	FaultUnknownMethod       FaultCode = 1
	FaultIncorrectParameters FaultCode = 2
	FaultBadArguments        FaultCode = 3
	FaultSignatureUnsupp     FaultCode = 4
	FaultShutdownState       FaultCode = 6
	FaultBadName             FaultCode = 10
	FaultBadSignal           FaultCode = 11
	FaultNoFile              FaultCode = 20
	FaultNotExecutable       FaultCode = 21
	FaultFailed              FaultCode = 30
	FaultAbnormalTermination FaultCode = 40
	FaultSpawnError          FaultCode = 50
	FaultAlreadyStarted      FaultCode = 60
	FaultNotRunning          FaultCode = 70
	FaultSuccess             FaultCode = 80
	FaultAlreadyAdded        FaultCode = 90
	FaultStillRunning        FaultCode = 91
	FaultCantReread          FaultCode = 92
)

var faultNames = map[FaultCode]string{
	FaultUnknownMethod: "UNKNOWN_METHOD", FaultIncorrectParameters: "INCORRECT_PARAMETERS",
	FaultBadArguments: "BAD_ARGUMENTS", FaultSignatureUnsupp: "SIGNATURE_UNSUPPORTED",
	FaultShutdownState: "SHUTDOWN_STATE", FaultBadName: "BAD_NAME", FaultBadSignal: "BAD_SIGNAL",
	FaultNoFile: "NO_FILE", FaultNotExecutable: "NOT_EXECUTABLE", FaultFailed: "FAILED",
	FaultAbnormalTermination: "ABNORMAL_TERMINATION", FaultSpawnError: "SPAWN_ERROR",
	FaultAlreadyStarted: "ALREADY_STARTED", FaultNotRunning: "NOT_RUNNING", FaultSuccess: "SUCCESS",
	FaultAlreadyAdded: "ALREADY_ADDED", FaultStillRunning: "STILL_RUNNING", FaultCantReread: "CANT_REREAD",
}

// String is the name that supervisord uses, such as NO_FILE.
func (c FaultCode) String() string {
	if n, ok := faultNames[c]; ok {
		return n
	}
	return fmt.Sprintf("FAULT_%d", int(c))
}

// Fault is supervisord's refusal of one call. It matches ErrShuttingDown when
// that is why.
type Fault struct {
	Code    FaultCode
	Message string // supervisord's own words, e.g. "NO_FILE: /no/such/thing"
}

// Error is supervisord's text with the name of the fault in front, once.
func (f *Fault) Error() string {
	if f.Message == "" {
		return f.Code.String()
	}
	if strings.HasPrefix(f.Message, f.Code.String()) {
		return f.Message
	}
	return f.Code.String() + ": " + f.Message
}

// Is makes errors.Is(err, ErrShuttingDown) see fault 6.
func (f *Fault) Is(target error) bool {
	return target == ErrShuttingDown && f.Code == FaultShutdownState
}

// HTTPError is an answer that was no XML-RPC: 500 is a Python exception inside
// supervisord. 401 and 403 match ErrForbidden.
type HTTPError struct {
	Status int
	Method string
}

// Error names the status and the call.
func (e *HTTPError) Error() string {
	return fmt.Sprintf("supervisord answered HTTP %d to %s", e.Status, e.Method)
}

// Is makes errors.Is(err, ErrForbidden) see 401 and 403.
func (e *HTTPError) Is(target error) bool {
	return target == ErrForbidden && (e.Status == 401 || e.Status == 403)
}

// Failure is one program that did not do what was asked, and why.
type Failure struct {
	Process
	Reason string // fault name or spawn error: "NO_FILE", "BACKOFF: Exited too quickly"
}

func failureList(fs []Failure) string {
	parts := make([]string, len(fs))
	for i, f := range fs {
		parts[i] = f.Spec() + " " + f.Reason
	}
	return strings.Join(parts, "; ")
}

// StartError says which programs did not reach RUNNING. What did start is left
// running: undoing is the caller's (StopPrograms, Shutdown).
type StartError struct {
	Programs []Failure
}

// Error lists the programs with their reasons.
func (e *StartError) Error() string { return "programs not running: " + failureList(e.Programs) }

// StopError says which programs were still active when stopping was given up.
type StopError struct {
	Programs []Failure
}

// Error lists the programs with their states.
func (e *StopError) Error() string { return "programs not stopped: " + failureList(e.Programs) }

// UnknownProgramError names programs that supervisord does not have. Nothing
// was started.
type UnknownProgramError struct {
	Names []string // asked for
	Known []string // what there is, sorted
}

// Error lists both.
func (e *UnknownProgramError) Error() string {
	return fmt.Sprintf("no such program: %s (there are: %s)",
		strings.Join(e.Names, ", "), strings.Join(e.Known, ", "))
}

// ConfError is something in or around a configuration file that keeps it from
// being used.
type ConfError struct {
	Path    string
	Line    int // 0 when it is not about one line
	Problem string
	Err     error // the kind, where there is one: ErrForbidden
}

// Unwrap gives the kind.
func (e *ConfError) Unwrap() error { return e.Err }

// Error is path:line: problem.
func (e *ConfError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.Problem)
	}
	return e.Path + ": " + e.Problem
}

// SpawnError is a supervisord that was executed and did not come up.
type SpawnError struct {
	ExitCode int    // -1 when it was killed or never ran
	Output   string // what it said: short, one or few lines, secrets masked
	Err      error  // the cause where there is one: ErrAlreadyRunning, a context's error
}

// Error is the cause and what supervisord said.
func (e *SpawnError) Error() string {
	msg := fmt.Sprintf("supervisord did not start (exit status %d)", e.ExitCode)
	if e.Err != nil {
		msg = "supervisord did not start: " + e.Err.Error()
	}
	if e.Output != "" {
		msg += ": " + e.Output
	}
	return msg
}

// Unwrap gives the cause.
func (e *SpawnError) Unwrap() error { return e.Err }
