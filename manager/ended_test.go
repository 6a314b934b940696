package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// bookkeeper is a monitor that answers PATCHes of executions as told.
type bookkeeper struct {
	answer map[string]error
	told   []string
}

func (*bookkeeper) Heartbeat(context.Context, swf.Heartbeat) error { return nil }

func (*bookkeeper) PostLog(context.Context, swf.LogEntry) error { return nil }

func (b *bookkeeper) PatchExecution(_ context.Context, id string, fields map[string]any) error {
	if err := b.answer[id]; err != nil {
		return err
	}
	body, err := json.Marshal(fields)
	b.told = append(b.told, fmt.Sprintf("%s %s", id, body))
	return err
}

// The manager tells each end that a runner left untold, as it was where that is
// known; one that cannot be told now keeps none of the others from it.
func TestManagerTellsTheEndsThatRunnersLeft(t *testing.T) {
	t.Parallel()
	away := swf.E(swf.CodeMonitorUnavailable, "away", "wait")
	for _, tc := range []struct {
		name   string
		ending *control.Ending
		answer error
		told   string // status
		open   bool   // afterwards
	}{
		{"killed", nil, nil, swf.ExecutionLost, false},
		{"known", &control.Ending{Status: swf.ExecutionCompleted, EndTime: time.Now()}, nil, swf.ExecutionCompleted, false},
		{"not made yet", nil, &monitor.StatusError{Status: 404}, "", true},
		{"refused", nil, &monitor.StatusError{Status: 400}, "", false},
		{"token", nil, &monitor.StatusError{Status: 403}, "", true},
		{"monitor away", nil, away, "", true},
		{"monitor ill", nil, &monitor.StatusError{Status: 502}, "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mon := &bookkeeper{answer: map[string]error{"x": tc.answer}}
			m := New(Options{Monitor: mon, Testbed: NewTestbed(TestbedOptions{Paths: config.Paths{State: t.TempDir()}})})
			runs := m.o.Testbed.Runs()
			if _, _, err := runs.Claim(control.Claim{CommandID: "c", ExecutionID: "x", At: time.Now()}); err != nil {
				t.Fatal(err)
			}
			if tc.ending != nil {
				if err := runs.Conclude("c", *tc.ending); err != nil {
					t.Fatal(err)
				}
			}
			m.runnerGone(time.Now())
			m.reportLost(t.Context())
			m.reportLost(t.Context())
			var fields struct{ Status string }
			if len(mon.told) > 1 || len(mon.told) == 1 && json.Unmarshal([]byte(mon.told[0][2:]), &fields) != nil || fields.Status != tc.told {
				t.Errorf("told %q, want %q once", mon.told, tc.told)
			}
			if open, err := runs.Open(); err != nil || (len(open) == 1) != tc.open {
				t.Errorf("open: %v, %v; want %v", open, err, tc.open)
			}
		})
	}
}

// A testbed whose runner has given up has lost what that one ran; one whose
// runner is there, or comes again, or cannot be seen, has not.
func TestManagerNoticesThatThereIsNoRunner(t *testing.T) {
	t.Parallel()
	runner := func(s swf.ProgramState) Observation {
		return Observation{Supervisor: "running", Programs: []swf.Program{{Name: "other", State: swf.ProgramRunning}, {Name: runnerProgram, State: s}}}
	}
	for _, tc := range []struct {
		seen Observation
		err  error
		gone bool
	}{
		{runner(swf.ProgramRunning), nil, false},
		{runner(swf.ProgramBackoff), nil, false},
		{runner(swf.ProgramFatal), nil, true},
		{runner(swf.ProgramExited), nil, true},
		{Observation{Supervisor: "hung"}, errors.New("hung"), false},
		{Observation{Supervisor: "running"}, nil, true},
	} {
		m := New(Options{Testbed: NewTestbed(TestbedOptions{Paths: config.Paths{State: t.TempDir()}})})
		at := time.Now()
		m.noticeRunner(t.Context(), at, tc.seen, tc.err)
		if m.lostBefore.Load() != 0 {
			t.Errorf("%+v: noticed although nothing is open", tc.seen)
		}
		if _, _, err := m.o.Testbed.Runs().Claim(control.Claim{CommandID: "c", ExecutionID: "x", At: at}); err != nil {
			t.Fatal(err)
		}
		m.noticeRunner(t.Context(), at, tc.seen, tc.err)
		if gone := m.lostBefore.Load() == at.UnixNano(); gone != tc.gone {
			t.Errorf("%+v: gone is %v", tc.seen, gone)
		}
	}
}
