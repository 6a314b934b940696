package tools

import (
	"context"
	"slices"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// phases are the messages that change the phase of a run, and to what.
var phases = map[string]string{swf.MsgRunImminent: "imminent", swf.MsgStartRun: "running", swf.MsgPauseRun: "paused",
	swf.MsgResumeRun: "running", swf.MsgEndRun: "ended"}

// history is what the messages of one execution tell.
type history struct {
	changes []swf.RecordedMessage // of the phase, latest first
	files   int                   // announced; negative: not known
	err     error
}

// How many messages of one execution are read: its beginning and its end. In
// between a run only pauses and goes on.
const (
	maxLatest = 999 // with the one more that tells whether there are others
	maxFirst  = 50
)

// history reads all messages of an execution, or of a long one those that
// tell its phase.
func (s *Set) history(ctx context.Context, id string) (h history) {
	about := func(m *swf.RecordedMessage) bool { return deref(m.ExecutionID) == id }
	all, err := search(s.messagePager(ctx, monitor.MessageFilter{ExecutionID: id}), about, maxLatest, false)
	if err != nil {
		return history{err: err}
	}
	if all.total < 0 {
		first, err := s.o.Monitor.Messages(ctx, monitor.MessageFilter{ExecutionID: id}, maxFirst, 0)
		if err != nil {
			return history{err: err}
		}
		slices.Reverse(first.Items) // they come oldest first
		all.items = append(all.items, first.Items...)
	}
	for i := range all.items {
		m := &all.items[i]
		if m.Type == swf.MsgSTFGen {
			h.files++
		}
		if phases[m.Type] != "" && about(m) {
			h.changes = append(h.changes, *m)
		}
	}
	if all.total < 0 {
		h.files, h.err = s.countFiles(ctx, id)
	}
	return h
}

// countFiles lets the monitor count; negative if it cannot.
func (s *Set) countFiles(ctx context.Context, id string) (int, error) {
	page := s.messagePager(ctx, monitor.MessageFilter{ExecutionID: id, Type: swf.MsgSTFGen})
	number, err := search(page, func(m *swf.RecordedMessage) bool { return m.Type == swf.MsgSTFGen && deref(m.ExecutionID) == id }, 0, true)
	return number.total, err
}
