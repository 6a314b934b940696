package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows"
)

// Limits of the demo of the whole pipeline.
const (
	pipelineSTFs = 10
	countPage    = 1000
	countEvery   = 200 * time.Millisecond
	countTime    = 10 * time.Second // after the run, for the last to be counted
)

// pipeline is what a demo of all agents counts.
type pipeline struct {
	monitor *monitor.Client
	run     *config.Run
	implied counts
}

// counts are the STFs of a run and what became of them.
type counts struct{ stfs, samples, queued, completed int }

// imply finds what the parameters make of the run.
func (d *demonstration) imply(ctx context.Context, s config.Sources) error {
	t, err := config.Load(s, d.config)
	if err != nil {
		return err
	}
	req := config.RunRequest{Params: map[string]any{"stf_count": d.stfs}}
	if d.pipeline.run, err = config.ResolveRun(s, t, req); err != nil {
		return err
	}
	o, err := workflows.Validate(ctx, s, t, req, nil)
	if err != nil {
		return err
	}
	d.implied.stfs = o.STFs
	for _, a := range t.Agents {
		switch {
		case !a.Enabled:
		case a.Name == "fastmon":
			d.implied.samples = o.Samples
		case a.Name == "fast_processing":
			d.implied.queued = o.Slices
		case a.Name == "worker":
			d.implied.completed = o.Slices
		}
	}
	return nil
}

// workersTime is how long the workers need for all slices, in real time.
func (d *demonstration) workersTime() time.Duration {
	if !d.realtime || d.pipeline.run == nil {
		return 0
	}
	number := func(name string, least float64) float64 {
		v, _ := strconv.ParseFloat(fmt.Sprint(d.pipeline.run.Values[name]), 64)
		return max(v, least)
	}
	each := number("slice_processing_time", 0) / number("target_worker_count", 1)
	return time.Duration((number("worker_rampup_time", 0) + number("slice_processing_time", 0) + each*float64(d.implied.completed)) * float64(time.Second))
}

// count counts what the monitor has of the run, waits for the last of it, and
// fails when it is not what the parameters imply.
func (d *demonstration) count(ctx context.Context, began map[string]any) error {
	id, _ := began["execution_id"].(string)
	ctx, cancel := context.WithTimeout(ctx, countTime+d.workersTime())
	defer cancel()
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	var have counts
	for {
		now, err := d.counted(ctx, id)
		if err == nil {
			have = now
		} else if ctx.Err() == nil {
			return err
		}
		if have == d.implied || ctx.Err() != nil {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	fmt.Fprintf(d.out, "\nWhat the monitor has of %s, and what the parameters imply:\n", id)
	for _, row := range []struct {
		what          string
		have, implied int
	}{
		{"STFs", have.stfs, d.implied.stfs},
		{"samples", have.samples, d.implied.samples},
		{"slices queued", have.queued, d.implied.queued},
		{"slices completed", have.completed, d.implied.completed},
	} {
		verdict := "="
		if row.have != row.implied {
			verdict = "but"
		}
		fmt.Fprintf(d.out, "  %-17s %6d %-3s %6d implied\n", row.what, row.have, verdict, row.implied)
	}
	if have != d.implied {
		return errors.New("the counts are not those that the parameters imply")
	}
	return nil
}

// counted counts records, and that the counters of the run's state agree.
func (d *demonstration) counted(ctx context.Context, execution string) (c counts, err error) {
	number, err := d.runNumber(ctx, execution)
	if err != nil || number == 0 {
		return c, err
	}
	files, err := all(func(offset int) ([]swf.STFFile, error) {
		return d.monitor.STFFiles(ctx, monitor.FileFilter{RunNumber: number, Status: "processed", Limit: countPage, Start: offset})
	})
	if err != nil {
		return c, err
	}
	for _, f := range files {
		samples, err := d.monitor.FastMonFiles(ctx, f.STFFilename)
		if err != nil {
			return c, err
		}
		c.samples += len(samples)
	}
	slices, err := all(func(offset int) ([]swf.TFSlice, error) {
		return d.monitor.FindTFSlices(ctx, monitor.SliceFilter{RunNumber: number, Limit: countPage, Offset: offset})
	})
	if err != nil {
		return c, err
	}
	c.stfs, c.queued = len(files), len(slices)
	for _, s := range slices {
		if s.Status == swf.SliceCompleted {
			c.completed++
		}
	}
	state, err := d.monitor.RunState(ctx, number)
	if err != nil || state == nil {
		return c, err
	}
	if told := (counts{c.stfs, state.STFSamplesReceived, state.SlicesQueued, state.SlicesCompleted}); c.samples > 0 && told != c {
		return told, nil // not told yet, or told wrongly: either way not what was counted
	}
	return c, nil
}

// all puts the pages of a list together.
func all[T any](page func(offset int) ([]T, error)) ([]T, error) {
	var items []T
	for {
		more, err := page(len(items))
		items = append(items, more...)
		if err != nil || len(more) < countPage {
			return items, err
		}
	}
}

// runNumber finds the run of an execution, 0 when the monitor has none yet.
func (d *demonstration) runNumber(ctx context.Context, execution string) (int64, error) {
	runs, err := d.monitor.Runs(ctx)
	for _, r := range runs {
		var imminent swf.Message
		if json.Unmarshal(r.RunConditions, &imminent) == nil && imminent.ExecutionID() == execution {
			return r.RunNumber, nil
		}
	}
	return 0, err
}
