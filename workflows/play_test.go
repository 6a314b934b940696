package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows/sim"
)

// defaults are the values of daq_state_machine.toml.
func defaults(more map[string]any) map[string]any {
	v := map[string]any{
		"no_beam_not_ready_delay": 5.0, "broadcast_delay": 1.0, "beam_not_ready_delay": 5.0, "beam_ready_delay": 2.0,
		"stf_generation_time": 0.1, "stf_interval": 2.0, "physics_period_count": int64(1), "physics_period_duration": 10.0,
		"standby_duration": 2.0, "beam_not_ready_end_delay": 5.0,
	}
	maps.Copy(v, more)
	return v
}

// embedded are the stock files alone.
var embedded = config.Sources{Embedded: Files}

func daqMachine(t *testing.T) *machine {
	t.Helper()
	m, err := find(embedded, "stf_datataking")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// play runs the machine in virtual time; lines are "tick type".
func play(t *testing.T, values map[string]any, limit float64) (lines []string, total string, err error) {
	t.Helper()
	m, err := find(embedded, "stf_datataking")
	if err != nil {
		t.Fatal(err)
	}
	numbers, err := m.numbers(values)
	if err != nil {
		t.Fatal(err)
	}
	c := sim.New(sim.Options{Limit: limit})
	number := func(f float64) string { b, _ := json.Marshal(f); return string(b) }
	p := player{machine: m, values: numbers, run: "100010", enter: func(string, string) {}}
	p.send = func(_ context.Context, s step) error {
		m := p.message(s)
		line := number(c.Now()) + " " + m.Type()
		if m.Type() == swf.MsgSTFGen {
			line += fmt.Sprintf(" %v", m["sequence"])
		}
		lines = append(lines, line)
		return nil
	}
	err = c.Run(t.Context(), p.play)
	return lines, number(c.Now()), err
}

func TestTicksOfTheContract(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values map[string]any
		limit  float64
		want   string
		total  string
	}{
		{
			name: "two files", values: map[string]any{"stf_count": int64(2)}, total: "22.7",
			want: "5 run_imminent, 13.1 start_run, 14.2 stf_gen 1, 16.4 stf_gen 2, 16.6 end_run",
		},
		{
			name: "ten files", values: map[string]any{"stf_count": int64(10)}, total: "40.3",
			want: "5 run_imminent, 13.1 start_run, 14.2 stf_gen 1, 16.4 stf_gen 2, 18.6 stf_gen 3, 20.8 stf_gen 4, 23 stf_gen 5, " +
				"25.2 stf_gen 6, 27.4 stf_gen 7, 29.6 stf_gen 8, 31.8 stf_gen 9, 34 stf_gen 10, 34.2 end_run",
		},
		{
			name: "two periods, sequence goes on", values: map[string]any{"stf_count": 1.0, "physics_period_count": 2.0}, total: "24.9",
			want: "5 run_imminent, 13.1 start_run, 14.2 stf_gen 1, 14.4 pause_run, 17.5 resume_run, 18.6 stf_gen 2, 18.8 end_run",
		},
		{
			name: "by duration", values: map[string]any{"stf_count": int64(0), "physics_period_duration": 4.4}, total: "24.7",
			want: "5 run_imminent, 13.1 start_run, 14.2 stf_gen 1, 16.4 stf_gen 2, 18.6 end_run",
		},
		{
			name: "for ever, until the limit", values: map[string]any{"stf_count": int64(1), "physics_period_count": int64(0)}, limit: 20, total: "20",
			want: "5 run_imminent, 13.1 start_run, 14.2 stf_gen 1, 14.4 pause_run, 17.5 resume_run, 18.6 stf_gen 2, 18.8 pause_run",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines, total, err := play(t, defaults(tc.values), tc.limit)
			if wantErr := tc.limit > 0; errors.Is(err, sim.ErrLimit) != wantErr || !wantErr && err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(lines, ", "); got != tc.want || total != tc.total {
				t.Errorf("got  %s; total %s\nwant %s; total %s", got, total, tc.want, tc.total)
			}
		})
	}
}

func TestMessagesOfTheMachine(t *testing.T) {
	m := daqMachine(t)
	p := player{machine: m, run: "100010", files: 7}
	for _, tc := range []struct {
		step step
		want swf.Message
	}{
		{m.Opening[1], swf.Message{"msg_type": "run_imminent", "state": "beam", "substate": "not_ready"}},
		{m.Begin[0], swf.Message{"msg_type": "start_run", "state": "run", "substate": "physics"}},
		{m.Each[0], swf.Message{"msg_type": "stf_gen", "state": "run", "substate": "physics", "filename": "swf.100010.000007.stf", "sequence": 7}},
		{m.Standby[0], swf.Message{"msg_type": "pause_run", "state": "run", "substate": "standby", "reason": "standby between physics periods"}},
		{m.Standby[1], swf.Message{"msg_type": "resume_run", "state": "run", "substate": "physics"}},
		{m.Closing[0], swf.Message{"msg_type": "end_run", "total_stf_files": 7}},
	} {
		if got := p.message(tc.step); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("got %v, want %v", got, tc.want)
		}
	}
}

func TestParametersThatCannotBe(t *testing.T) {
	for _, bad := range []map[string]any{
		{"stf_interval": -1.0}, {"stf_interval": "2"}, {"stf_count": 1.5}, {"physics_period_count": -1}, {"stf_count": 1e12}, {"broadcast_delay": true},
	} {
		if _, err := daqMachine(t).numbers(defaults(bad)); !swf.IsCode(err, swf.CodeInvalidConfig) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	missing := defaults(nil)
	delete(missing, "standby_duration")
	if _, err := daqMachine(t).numbers(missing); !swf.IsCode(err, swf.CodeInvalidConfig) || !strings.Contains(err.Error(), "standby_duration") {
		t.Errorf("without standby_duration: %v", err)
	}
}
