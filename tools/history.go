package tools

import (
	"context"
	"slices"
	"sync"

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

// history asks for each type alone: a long run has far more messages than
// anybody needs to read.
func (s *Set) history(ctx context.Context, id string) history {
	types := append(sortedKeys(phases), swf.MsgSTFGen)
	parts := make([]found[swf.RecordedMessage], len(types))
	errs := make([]error, len(types))
	var wg sync.WaitGroup
	for i, kind := range types {
		wg.Go(func() { parts[i], errs[i] = s.ofType(ctx, id, kind) })
	}
	wg.Wait()
	var h history
	for i, err := range errs {
		switch {
		case err != nil:
			h.err = err
		case types[i] == swf.MsgSTFGen:
			h.files = parts[i].total
		default:
			h.changes = append(h.changes, parts[i].items...)
		}
	}
	slices.SortStableFunc(h.changes, func(a, b swf.RecordedMessage) int { return b.SentAt.Compare(a.SentAt.Time) })
	return h
}

// ofType returns the latest messages of one type, and how many there are.
func (s *Set) ofType(ctx context.Context, id, kind string) (found[swf.RecordedMessage], error) {
	page := s.messagePager(ctx, monitor.MessageFilter{ExecutionID: id, Type: kind})
	is := func(m *swf.RecordedMessage) bool { return m.Type == kind && deref(m.ExecutionID) == id }
	if kind != swf.MsgSTFGen {
		return search(page, is, maxEvents, true)
	}
	number, err := search(page, is, 0, true)
	if err != nil || number.total >= 0 {
		return number, err
	}
	return search(page, is, pageSize*maxPages, false) // a monitor that does not know types: count
}
