package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

func TestOutboxTellsTogetherWhatWaits(t *testing.T) {
	inOutbox(t, func(t *testing.T, o *Outbox) {
		var told []string
		acks := 0
		held := make(chan struct{})
		HandleAll(o, "n", 4, func(_ context.Context, all []int, again bool) error {
			told = append(told, fmt.Sprint(all, again))
			switch {
			case len(told) == 2: // the second one meets an outage
				return errDown
			case slices.Contains(all, 7):
				return &monitor.StatusError{Status: 400}
			}
			return nil
		})
		Handle(o, "other", func(_ context.Context, text string, _ bool) error { told = append(told, text); return nil })
		o.Do("something slow", func(context.Context) error { <-held; return nil })
		for n := range 5 {
			o.Add("n", fmt.Sprint(n), n)
		}
		o.Add("other", "other", "other")
		for n := 5; n < 9; n++ {
			o.AddThen("n", fmt.Sprint(n), n, func() { acks++ })
		}
		synctest.Wait()
		close(held)
		for o.Len() > 0 {
			time.Sleep(time.Second)
		}
		want := "[0 1 2 3] false, [4] false, [4] true, other, [5 6 7 8] false, [5] false, [6] false, [7] false, [8] false"
		if got := strings.Join(told, ", "); got != want || acks != 4 {
			t.Errorf("told  %s, %d acknowledged\nwant %s", got, acks, want)
		}
	})
}

// All that an earlier process may have been telling may have been told.
func TestOutboxDoubtsAllThatWasToldTogether(t *testing.T) {
	file := t.TempDir() + "/agent.events"
	tried := make(chan struct{}, 100)
	first := newProcessOf(t, file, 3, func([]int, bool) error { tried <- struct{}{}; return errDown })
	first.add(1, 5)
	<-tried
	first.stop()
	var told []string
	second := newProcessOf(t, file, 3, func(all []int, again bool) error { told = append(told, fmt.Sprint(all, again)); return nil })
	second.add(6, 6) // perhaps before it has opened the file
	settle(t, second.o)
	second.stop()
	if got := strings.Join(told, ", "); !strings.HasPrefix(got, "[1 2 3] true, [4 5") || !strings.HasSuffix(got, "6] false") || strings.Count(got, "true") > 1 {
		t.Errorf("told %s", got)
	}
}

// A monitor that takes no lists hears the same, one by one.
func TestPipelineWithoutLists(t *testing.T) {
	s := newStage(t)
	s.single.Store(true)
	s.newRun(fastParameters)
	for _, kind := range []string{"data", "fastmon", "fast", "worker"} {
		s.with(kind)
	}
	s.begin()
	s.play(1, 3)
	s.counted(3*samplesOfOne, 3*slicesOfOne, 3*slicesOfOne)
	s.toldOnce(3 * slicesOfOne)
}

// Slices that the monitor has made, as we do not hear, are handed out nevertheless.
func TestAnswerAboutSlicesIsLost(t *testing.T) {
	s := newStage(t)
	s.lose.Store(2)
	s.newRun(fastParameters)
	for _, kind := range []string{"data", "fastmon", "fast", "worker"} {
		s.with(kind)
	}
	s.begin()
	s.play(1, 3)
	s.counted(3*samplesOfOne, 3*slicesOfOne, 3*slicesOfOne)
	s.toldOnce(3 * slicesOfOne)
}

// They are also where the monitor names the agent between its call and the
// repetition of that: what it has then bears the name that the agent had.
func TestAnswerAboutSlicesIsLostWhileTheAgentIsNamed(t *testing.T) {
	s := newStage(t)
	s.newRun(fastParameters)
	for _, kind := range []string{"data", "fastmon", "worker"} {
		s.with(kind)
	}
	f, err := NewFast(s.options())
	if err != nil {
		t.Fatal(err)
	}
	lost := make(chan struct{})
	s.losing = func() {
		close(lost)
		s.eventually("the agent to be named", func() bool { return f.base.Name() != f.base.interim })
	}
	s.lose.Store(1)
	s.unnamed.Store(&lost)
	s.start(f.Run)
	s.eventually("fast agent subscribed", func() bool { return f.base.state() == swf.OpReady })
	s.settled(s.bus)
	s.begin()
	s.play(1, 1)
	s.counted(samplesOfOne, slicesOfOne, slicesOfOne)
}

// toldOnce waits until the results of so many slices are told, and looks that
// each is once.
func (s *stage) toldOnce(results int) {
	s.t.Helper()
	names := make(map[string]int)
	s.eventually("the results are told", func() bool {
		events, err := s.monitor.StateEvents(s.t.Context(), 100010, swf.MsgSliceResult, 1000, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		clear(names)
		for _, e := range events.Items {
			var data struct {
				Name string `json:"tf_filename"`
			}
			if err := json.Unmarshal(e.EventData, &data); err != nil {
				s.t.Fatal(err)
			}
			names[data.Name]++
		}
		return len(names) == results
	})
	for name, n := range names {
		if n != 1 {
			s.t.Errorf("the result of %s is told %d times", name, n)
		}
	}
}

func TestWorkerForgetsWhatIsLongAnswered(t *testing.T) {
	m, parameters := imminentWorker(2)
	p := newPool(m, parameters, share{0, 1})
	for n := range keepAnswered + 10 {
		p.settle(p.take(fmt.Sprint(n), map[string]any{"a": 1}, 0))
	}
	if len(p.slices) != keepAnswered || p.slices["9"] != nil || p.slices["10"] == nil || p.slices["10"].content != nil {
		t.Errorf("%d slices are remembered", len(p.slices))
	}
}

// Of completed slices a ledger keeps a bit each.
func TestLedgerForgetsCompletedSlices(t *testing.T) {
	l := &ledger{samples: make(map[string]*sampled), slices: make(map[string]*entry)}
	for n := range 70 {
		l.add(&entry{frames: frames{name: fmt.Sprint(n)}, sample: "s", number: n, status: swf.SliceQueued})
	}
	for n, status := range map[int]string{3: swf.SliceCompleted, 69: swf.SliceCompleted, 5: swf.SliceFailed} {
		l.settle(l.slices[fmt.Sprint(n)], status)
	}
	l.settle(l.slices["5"], swf.SliceCompleted)
	l.settle(l.slices["6"], swf.SliceFailed)
	if len(l.slices) != 67 || l.created != 70 || l.completed != 3 || l.failed != 1 ||
		!l.done("s", 69) || !l.done("s", 5) || l.done("s", 6) || l.done("s", 4) || l.done("t", 3) {
		t.Errorf("%d slices, %+v", len(l.slices), l.counts())
	}
}
