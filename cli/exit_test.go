package cli

import (
	"bytes"
	"errors"
	"testing"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

func TestExitCodes(t *testing.T) {
	reply := func(o control.Outcome) error { return outcome(control.Reply{Outcome: o}) }
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"done":              {nil, ExitOK},
		"succeeded":         {reply(control.Succeeded), ExitOK},
		"failed":            {reply(control.Failed), ExitFailed},
		"expired":           {reply(control.Expired), ExitFailed},
		"refused":           {reply(control.Refused), ExitRefused},
		"pending":           {reply(control.Pending), ExitPending},
		"usage":             {usageError{errors.New("no such flag")}, ExitUsage},
		"usage with a hint": {usageError{swf.E(swf.CodeInvalidArgument, "m", "h")}, ExitUsage},
		"two managers":      {swf.E(swf.CodeManagerRunning, "m", "h"), ExitConflict},
		"unknown config":    {swf.E(swf.CodeUnknownConfig, "m", "h"), ExitRefused},
		"no supervisord":    {swf.E(swf.CodeNoSupervisord, "m", "h"), ExitFailed},
		"anything else":     {errors.New("disk on fire"), ExitFailed},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"nothing":    {nil, ""},
		"with hint":  {swf.E(swf.CodeBusy, "the manager is busy", "wait for it"), "error: the manager is busy\nhint: wait for it\n"},
		"an outcome": {outcome(control.Refusal("x", swf.E(swf.CodeBusy, "busy", "wait"))), "error: busy\nhint: wait\n"},
		"pending":    {outcome(control.Reply{CommandID: "x", Outcome: control.Pending}), "error: the outcome of command x is pending\nhint: ask again: testbed status\n"},
		"usage":      {usageError{errors.New("unknown flag: --x")}, "error: unknown flag: --x\nhint: see --help\n"},
	} {
		var b bytes.Buffer
		report(&b, c.err, false)
		if b.String() != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, b.String(), c.want)
		}
	}
}
