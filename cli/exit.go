package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// Exit codes of every command.
const (
	ExitOK       = 0  // done, and seen to be done
	ExitFailed   = 1  // tried and failed, or a part is broken
	ExitUsage    = 2  // the command line is wrong
	ExitRefused  = 3  // nothing was done, and the error says why
	ExitPending  = 4  // sent, but the outcome is not known yet
	ExitConflict = 78 // another manager of this user runs; a service must not restart this one
)

// usageError is an error of the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// outcomeError carries a command's outcome that is not success.
type outcomeError struct{ reply control.Reply }

func (e outcomeError) Error() string {
	if e.reply.Error != nil {
		return e.reply.Error.Message
	}
	return fmt.Sprintf("the outcome of command %s is %s", e.reply.CommandID, e.reply.Outcome)
}

func (e outcomeError) Unwrap() error {
	if e.reply.Error == nil {
		return nil
	}
	return e.reply.Error
}

// exitCode gives the process's exit code for what a command returned.
func exitCode(err error) int {
	var usage usageError
	var out outcomeError
	var e *swf.Error
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &out):
		switch out.reply.Outcome {
		case control.Refused:
			return ExitRefused
		case control.Pending:
			return ExitPending
		}
		return ExitFailed
	case errors.As(err, &e):
		return codeExit(e.Code)
	}
	return ExitFailed
}

func codeExit(code swf.Code) int {
	switch code {
	case swf.CodeManagerRunning:
		return ExitConflict
	case swf.CodeInvalidArgument, swf.CodeUnknownConfig, swf.CodeInvalidConfig, swf.CodeUnknownAgent, swf.CodeUnknownProgram, swf.CodeUnknownWorkflow,
		swf.CodeAgentsRunning, swf.CodeNotRunning, swf.CodeBusy, swf.CodeNoManager, swf.CodeConfirmationNeeded, swf.CodeForbidden,
		swf.CodeUnknownExecution, swf.CodeWrongNamespace:
		return ExitRefused
	case swf.CodePending:
		return ExitPending
	}
	return ExitFailed
}

// report prints an error as people read it: what happened, then what to do.
func report(w io.Writer, err error, in ink) {
	if err == nil {
		return
	}
	var e *swf.Error
	fmt.Fprintln(w, in.of(bold+red, "error:"), swf.Printable(err.Error()))
	switch {
	case errors.As(err, &e) && e.Hint != "":
		fmt.Fprintln(w, in.of(bold, "hint:"), swf.Printable(inCommands(e.Hint)))
	case errors.As(err, new(usageError)):
		fmt.Fprintln(w, in.of(bold, "hint:"), "see --help")
	case errors.As(err, new(outcomeError)):
		fmt.Fprintln(w, in.of(bold, "hint:"), "ask again: testbed status")
	}
}
