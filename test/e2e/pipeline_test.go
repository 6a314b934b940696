package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// pipelineConfig is fast processing in real time, in a hurry: an STF each 0.3 s,
// one sample of each, four slices of each sample.
const pipelineConfig = `[testbed]
namespace = "space"

[workflow]
name = "stf_datataking"
config = "fast_processing_default"

[agents.data]
enabled = true
[agents.fastmon]
enabled = true
[agents.fast_processing]
enabled = true
[agents.worker]
enabled = true

[daq_state_machine]
no_beam_not_ready_delay = 0.0
broadcast_delay = 0.0
beam_not_ready_delay = 0.0
beam_ready_delay = 0.0
beam_not_ready_end_delay = 0.0

[stf_datataking]
stf_count = 15
stf_interval = 0.1

[fast_processing]
slices_per_sample = 4
target_worker_count = 3
slice_processing_time = 0.05
worker_rampup_time = 0.1
worker_rampdown_time = 0.1
`

const (
	pipelineSTFs   = 15
	pipelineSlices = 4 // of one sample
)

// newPipeline is a bench with all agents, started.
func newPipeline(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, map[string]string{
		"example-fastmon-agent": agent("fastmon"), "fast-processing-agent": agent("fast-processing"), "example-worker": agent("worker"),
	})
	b.write("workflows/pipeline.toml", pipelineConfig)
	b.start("pipeline")
	return b
}

// counted is what the monitor has of the only run: registered STFs, samples,
// slices and completed ones. It fails the test when anything is there twice.
func (b *bench) counted() (stfs, samples, slices, completed int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	files, err := b.history.STFFiles(ctx, monitor.FileFilter{Limit: 1000})
	if err != nil {
		return 0, 0, 0, 0, err
	}
	seen := map[string]bool{}
	once := func(name string) {
		if seen[name] {
			b.t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
	for _, f := range files {
		once(f.STFFilename)
		taken, err := b.history.FastMonFiles(ctx, f.STFFilename)
		if err != nil {
			return 0, 0, 0, 0, err
		}
		for _, s := range taken {
			once(s.TFFilename)
			samples++
		}
	}
	all, err := b.history.FindTFSlices(ctx, monitor.SliceFilter{Limit: 1000})
	if err != nil {
		return 0, 0, 0, 0, err
	}
	for _, s := range all {
		once(fmt.Sprintf("%s slice %d", s.FastMonFile, s.SliceID))
		if s.Status == swf.SliceCompleted {
			completed++
		}
	}
	return len(files), samples, len(all), completed, nil
}

// settled waits until every STF that is registered has gone all the way, and
// the run's state says the same. least is how many STFs there must be.
func (b *bench) settled(run int64, least int) (stfs int) {
	b.t.Helper()
	eventually(b.t, "the pipeline is empty", func() error {
		n, samples, slices, completed, err := b.counted()
		if err != nil {
			return err
		}
		state, err := b.history.RunState(context.Background(), run)
		if err != nil {
			return err
		}
		want := n * pipelineSlices
		if stfs = n; n < least || samples != n || slices != want || completed != want ||
			state == nil || state.STFSamplesReceived != n || state.SlicesQueued != want || state.SlicesCompleted != want {
			return fmt.Errorf("%d STFs, %d samples, %d slices, %d completed; the run's state says %+v", n, samples, slices, completed, state)
		}
		return nil
	})
	return stfs
}

// TestKilledInMidRun: whoever is killed with -9 while a run goes on is started
// anew by supervisord, and takes up what it missed. Nothing is made twice.
func TestKilledInMidRun(t *testing.T) {
	for _, victim := range []string{"nobody", "data", "fastmon", "fast-processing", "worker", "runner"} {
		t.Run(victim, func(t *testing.T) {
			t.Parallel()
			b := newPipeline(t)
			id := b.call("start_workflow", `{"realtime":true}`).want("outcome", "succeeded").get("execution_id")
			eventually(t, "the run is in full swing", func() error {
				if stfs, _, _, completed, err := b.counted(); err != nil || stfs < 3 || completed < 1 {
					return fmt.Errorf("%d STFs, %d slices completed, %v", stfs, completed, err)
				}
				return nil
			})
			if victim != "nobody" {
				b.kill("swf-agent", victim)
			}
			status, least := swf.ExecutionCompleted, pipelineSTFs
			if victim == "runner" {
				status, least = swf.ExecutionLost, 3
			}
			if x := b.execution(id, status); x.EndTime == nil {
				t.Error("it has no end_time")
			} else {
				t.Logf("%s: %s", x.Status, x.PerformanceMetrics)
			}
			if stfs := b.settled(100010, least); stfs > pipelineSTFs {
				t.Errorf("%d STFs", stfs)
			}
			eventually(t, "the run has ended for its agents", func() error { // the next runner tells the end of a lost one
				run, err := b.history.RunByNumber(context.Background(), 100010)
				state, err2 := b.history.RunState(context.Background(), 100010)
				if err := errors.Join(err, err2); err != nil || run == nil || run.EndTime == nil || state == nil || state.State != "ended" {
					return fmt.Errorf("run %+v, state %+v, %v", run, state, err)
				}
				return nil
			})
			b.stop()
		})
	}
}
