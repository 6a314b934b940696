package agents

import (
	"fmt"
	"testing"
)

func TestWhatTheParametersImply(t *testing.T) {
	for _, tc := range []struct {
		name            string
		p               Parameters
		samples, slices int // of one STF of 1000 time frames
	}{
		{"the stock configuration: 50 frames sampled, 15 slices of 2", Parameters{
			"stf_sampling_rate": 0.05, "samples_per_stf": int64(1), "slices_per_sample": int64(15), "num_tf_per_slice": int64(2),
		}, 1, 15},
		{"no limit: every sampled frame is in a slice", Parameters{
			"stf_sampling_rate": 0.05, "samples_per_stf": 1, "slices_per_sample": 0, "num_tf_per_slice": 2,
		}, 1, 25},
		{"the last slice is smaller", Parameters{"stf_sampling_rate": 0.05, "samples_per_stf": 1, "num_tf_per_slice": 4}, 1, 13},
		{"a sample too small for all the slices", Parameters{"stf_sampling_rate": 0.01, "samples_per_stf": 1, "slices_per_sample": 15, "num_tf_per_slice": 2}, 1, 5},
		{"seven samples: 8 frames once, 7 six times", Parameters{"stf_sampling_rate": 0.05, "num_tf_per_slice": 7}, 7, 8},
		{"as the Python agents, whose configuration has none of them", Parameters{}, 7, 7 * 11},
		{"nothing sampled", Parameters{"stf_sampling_rate": 0.0}, 0, 0},
		{"everything sampled", Parameters{"stf_sampling_rate": 1.0, "samples_per_stf": 7, "num_tf_per_slice": 1000}, 7, 7},
		{"nonsense is bounded", Parameters{"stf_sampling_rate": -3.0, "samples_per_stf": -1, "num_tf_per_slice": 0, "slices_per_sample": "x"}, 0, 0},
	} {
		if samples, slices := Implied(tc.p, 1); samples != tc.samples || slices != tc.slices {
			t.Errorf("%s: %d samples, %d slices, want %d, %d", tc.name, samples, slices, tc.samples, tc.slices)
		}
	}
}

// Every piece is within what it is cut from, no two overlap, and a second time
// the very same are made.
func TestPiecesAreWithinTheirWhole(t *testing.T) {
	for _, p := range []plan{{rate: 0.05, samples: 1, perCut: 2, most: 15}, {rate: 0.15, samples: 7, perCut: 2}, {rate: 0.999, samples: 7, perCut: 3}, {rate: 1, samples: 1000, perCut: 1}, {rate: 0.0001, samples: 3, perCut: 5}} {
		for held := 0; held < 1200; held += 1 + held/20 {
			stf := fmt.Sprintf("swf.100010.%06d.stf", held)
			end, again := -1, p.sample(stf, held)
			for i, s := range p.sample(stf, held) {
				if s.first <= end || s.count() < 1 || s.last >= held || s != again[i] {
					t.Fatalf("%+v of %d frames: sample %+v after frame %d", p, held, s, end)
				}
				end = s.last
				before := s.first - 1
				for n, c := range p.cut(s) {
					sample, number, ok := ofSlice(c.name)
					if !ok || sample != s.name || number != n {
						t.Fatalf("%s is slice %d of %s (%v)", c.name, number, sample, ok)
					}
					if c.first != before+1 || c.last > s.last || c.count() > p.perCut || c.name != sliceName(s.name, n) {
						t.Fatalf("%+v: slice %+v of %+v", p, c, s)
					}
					before = c.last
				}
				if p.most == 0 && before != s.last {
					t.Fatalf("%+v: slices end at %d, the sample at %d", p, before, s.last)
				}
			}
		}
	}
}

func TestFlatten(t *testing.T) {
	p := flatten(map[string]any{
		"workflow":          map[string]any{"name": "stf_datataking", "realtime": false, "stf_count": 99.0},
		"daq_state_machine": map[string]any{"stf_interval": 2.0, "stf_count": 1.0},
		"stf_datataking":    map[string]any{"stf_count": 10.0, "target_worker_count": 1.0, "realtime": "no"},
		"fast_processing":   map[string]any{"target_worker_count": 10.0},
		"agents":            "nonsense",
	})
	if p["stf_interval"] != 2.0 || p["stf_count"] != 10.0 || p["target_worker_count"] != 10.0 || p.realtime() {
		t.Errorf("%v", p)
	}
	if !flatten(nil).realtime() || !Parameters(nil).realtime() {
		t.Error("real time is what nobody says")
	}
}
