package amq

import "fmt"

// The codes of Error.
const (
	CodeUnreachable        = "broker_unreachable"  // no link to the broker until the context ended
	CodeInvalidDestination = "invalid_destination" // not /queue/NAME or /topic/NAME with a harmless NAME
	CodeInvalidMessage     = "invalid_message"     // a header or a body that no STOMP frame can carry
	CodeInvalidSettings    = "invalid_settings"    // options or environment that cannot work
	CodeUncertain          = "uncertain"           // a message that may or may not have arrived
	CodeClosed             = "closed"              // Run has returned
)

// Error is every error that this package makes. Err, the cause, may be nil.
type Error struct {
	Code    string
	Message string // one sentence, fit for a person
	Err     error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func fault(code string, cause error, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Err: cause}
}
