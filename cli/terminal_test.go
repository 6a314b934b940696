package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// TestAttack17EscapesOnTheTerminal: what programs log and what they are called
// moves no cursor, sets no title and hides no text.
func TestAttack17EscapesOnTheTerminal(t *testing.T) {
	t.Parallel()
	const lure = "last words\x1b[2J\x1b]0;owned\x07\u202e\u200b\x08\x9b31m"
	var out, errs bytes.Buffer
	a := &app{out: &out, err: &errs}
	err := a.showReply(control.Reply{Outcome: control.Failed, Error: swf.E(swf.CodeStartFailed, lure, lure),
		Programs: []swf.Program{{Name: "data-agent" + lure, State: swf.ProgramFatal, Reason: lure, LogTail: lure}}}, "")
	report(&errs, err, false)
	for _, text := range []string{out.String(), errs.String()} {
		if strings.ContainsAny(text, "\x1b\x07\x08\u009b\u202e\u200b") || !strings.Contains(text, "last words") {
			t.Errorf("printed %q", text)
		}
	}
}
