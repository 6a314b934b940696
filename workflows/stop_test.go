package workflows

import (
	"context"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
)

// A copy of a stop may come when the run is no longer running, and its end not
// told yet: it hears of the same end.
func TestCopyOfAStopWhileTheRunEnds(t *testing.T) {
	s := newStage(t, testbedFile)
	r, err := New(s.options())
	if err != nil {
		t.Fatal(err)
	}
	cancelled := 0
	x := &execution{runner: r, id: "wf-ann-0001", done: make(chan struct{}), cancel: func(error) { cancelled++ }}
	r.current = x
	cmd := control.Command{Verb: control.StopWorkflow, ID: "c2", Username: "ann", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
	r.obey(context.Background(), cmd)
	r.free()
	r.obey(context.Background(), cmd)
	if a, ok := r.answer("c2"); ok {
		t.Errorf("before the run has ended the copy is answered %+v", a)
	}
	close(x.done)
	r.wait.Wait()
	if a, ok := r.answer("c2"); !ok || a.Outcome != control.Succeeded || a.ExecutionID != x.id || cancelled != 1 {
		t.Errorf("%+v, cancelled %d times", a, cancelled)
	}
}
