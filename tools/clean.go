package tools

import (
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// maxText caps each text that comes from outside: it is data for the caller,
// and nobody may fill an assistant's context with it.
const maxText = 2048

// maxList caps the lists that come from outside.
const maxList = 200

// clean returns the first n bytes of s without control characters, escape
// sequences and the invisible characters that reorder or hide text. Line
// breaks and tabs stay.
func clean(s string, n int) string {
	s = swf.Printable(s)
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// cleanTail is clean for logs, of which the end tells most.
func cleanTail(s string, n int) string {
	s = swf.Printable(s)
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s
}

// cleanReply returns a copy of what a manager answered, fit to be shown.
func cleanReply(r control.Reply) control.Reply {
	r.Message = clean(r.Message, maxText)
	r.Namespace, r.Config = clean(r.Namespace, 128), clean(r.Config, 256)
	r.ExecutionID, r.CommandID = clean(r.ExecutionID, 128), clean(r.CommandID, 128)
	r.Error = cleanError(r.Error)
	r.Programs = cleanPrograms(r.Programs)
	if r.Of != nil {
		of := cleanReply(*r.Of)
		r.Of = &of
	}
	return r
}

func cleanError(e *swf.Error) *swf.Error {
	if e == nil {
		return nil
	}
	return swf.E(swf.Code(clean(string(e.Code), 64)), clean(e.Message, maxText), clean(e.Hint, maxText))
}

func cleanPrograms(list []swf.Program) []swf.Program {
	if list == nil {
		return nil
	}
	out := make([]swf.Program, 0, min(len(list), maxList))
	for _, p := range list[:min(len(list), maxList)] {
		p.Name, p.State = clean(p.Name, 128), swf.ProgramState(clean(string(p.State), 32))
		p.Reason, p.LogTail = clean(p.Reason, maxText), cleanTail(p.LogTail, maxText)
		p.LogFile, p.Host = clean(p.LogFile, 512), clean(p.Host, 256)
		out = append(out, p)
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
