package swf

import "errors"

// Error is what a person or a model is told when something did not work.
// Code is stable and machine-readable, Message says what happened, Hint names
// the next call or command. An Error may carry its cause, which is for logs
// and is not part of the JSON form.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`

	cause error
}

// Code identifies a kind of Error. The set is closed: see the constants.
type Code string

// The codes, by who usually says them.
const (
	// The caller's input.
	CodeInvalidArgument    Code = "invalid_argument"
	CodeUnknownConfig      Code = "unknown_config"
	CodeInvalidConfig      Code = "invalid_config"
	CodeUnknownAgent       Code = "unknown_agent"
	CodeUnknownProgram     Code = "unknown_program"
	CodeUnknownCommand     Code = "unknown_command"
	CodeUnknownExecution   Code = "unknown_execution"
	CodeUnknownWorkflow    Code = "unknown_workflow"
	CodeConfirmationNeeded Code = "confirmation_required"

	// Who may do what.
	CodeForbidden       Code = "forbidden"
	CodeUnauthenticated Code = "unauthenticated"
	CodeBadSignature    Code = "bad_signature"
	CodeWrongNamespace  Code = "wrong_namespace"
	CodeLimited         Code = "rate_limited"

	// The state of the testbed.
	CodeAgentsRunning Code = "agents_running"
	CodeNotRunning    Code = "not_running"
	CodeBusy          Code = "busy"
	CodeStartFailed   Code = "start_failed"
	CodeStopFailed    Code = "stop_failed"
	CodeCancelled     Code = "cancelled"

	// The command protocol.
	CodeConflict      Code = "conflict"
	CodeExpired       Code = "expired"
	CodeSuperseded    Code = "superseded"
	CodeInterrupted   Code = "interrupted"
	CodeClockSkew     Code = "clock_skew"
	CodeStale         Code = "stale"
	CodePending       Code = "pending"
	CodeUnknownID     Code = "unknown_command_id"
	CodeUnconfirmed   Code = "unconfirmed"
	CodeUnsupported   Code = "unsupported"
	CodeJournalFull   Code = "journal_full"
	CodeJournalSealed Code = "journal_sealed"

	// The parts and the machine.
	CodeNoManager          Code = "no_manager"
	CodeManagerRunning     Code = "manager_running"
	CodeBrokerUnavailable  Code = "broker_unavailable"
	CodeMonitorUnavailable Code = "monitor_unavailable"
	CodeNoSupervisord      Code = "no_supervisord"
	CodeSupervisorFailed   Code = "supervisor_failed"
	CodeEnvironment        Code = "bad_environment"
	CodeDiskFull           Code = "disk_full"
	CodeInternal           Code = "internal"
)

// E makes an Error.
func E(code Code, message, hint string) *Error {
	return &Error{Code: code, Message: message, Hint: hint}
}

// Error implements error: the message alone. Edges print the hint beside it.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause given to Because.
func (e *Error) Unwrap() error { return e.cause }

// Because returns a copy of e that carries its cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// AsError returns the Error in err's chain. Any other error becomes
// CodeInternal with a text that does not leak what it says; err is its cause.
// AsError(nil) is nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return E(CodeInternal, "something failed that should not",
		"look at the log of the program that answered, then try again").Because(err)
}

// IsCode reports whether err carries an Error with that code.
func IsCode(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}
