package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/test/postgres"
)

// hourConfig is fast processing with an STF each two minutes: one sample of each
// STF and one slice of each sample. In virtual time hourSTFs of them are an hour.
const hourConfig = `[testbed]
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
beam_not_ready_delay = 0.0
beam_ready_delay = 0.0
beam_not_ready_end_delay = 0.0

[stf_datataking]
stf_count = 30
stf_interval = 119.8

[fast_processing]
slices_per_sample = 1
target_worker_count = 3
slice_processing_time = 10.0
worker_rampup_time = 1.0
worker_rampdown_time = 1.0
`

const (
	hourSTFs = 30
	hourLong = `{"realtime":false}`
	slowRun  = `{"realtime":true}` // makes one STF and then none for two minutes
)

// TestAnHourWithoutMonitor: the monitor is away for an hour of data-taking and
// more, in simulated time. Meanwhile runs end in every way, all programs are
// stopped and started again, manager included, and one is killed. When the
// monitor is back it hears everything, once, and as it was.
func TestAnHourWithoutMonitor(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		hourWithoutMonitor(t, store.Options{})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		hourWithoutMonitor(t, store.Options{DSN: swf.Secret(postgres.Start(t).Database(t))})
	})
}

func hourWithoutMonitor(t *testing.T, database store.Options) {
	b := newBenchOn(t, database, map[string]string{
		"example-fastmon-agent": agent("fastmon"), "fast-processing-agent": agent("fast-processing"), "example-worker": agent("worker"),
	})
	b.write("workflows/hour.toml", hourConfig)
	b.start("hour")
	want := map[string]string{} // executions and how they end
	begin := func(arguments, ending string) string {
		t.Helper()
		id := b.call("start_workflow", arguments).want("outcome", "succeeded").get("execution_id")
		want[id] = ending
		return id
	}
	start := time.Now()
	phase := func(what string) { t.Logf("%6.1f s: %s", time.Since(start).Seconds(), what) }
	says := func(id, words string) {
		t.Helper()
		eventually(t, "the runner says "+words, func() error {
			if !strings.Contains(b.log("workflow-runner"), words) || !strings.Contains(b.log("workflow-runner"), id) {
				return errors.New("not yet")
			}
			return nil
		})
	}

	before := begin(slowRun, swf.ExecutionTerminated)
	b.execution(before, swf.ExecutionRunning)
	b.monitor.stop()
	phase("the monitor is away")

	b.call("stop_workflow", fmt.Sprintf(`{"execution_id":%q}`, before)).want("outcome", "succeeded")
	first := begin(hourLong, swf.ExecutionCompleted)
	says(first, "Workflow completed: "+first)
	phase("an hour of data was taken")
	b.stop()
	b.manager.stop()
	b.startManager()
	b.start("hour")
	b.listening(2)
	phase("all programs were stopped and started again")
	second := begin(hourLong, swf.ExecutionCompleted)
	says(second, "Workflow completed: "+second)
	phase("another hour")
	killed := begin(slowRun, swf.ExecutionLost)
	b.kill("swf-agent", "runner")
	eventually(t, "the next runner", func() error {
		if len(named(b.dir, "swf-agent")) < 5 {
			return errors.New("not yet")
		}
		return nil
	})
	third := begin(slowRun, swf.ExecutionTerminated)
	b.stop() // its runner ends while nobody listens
	b.start("hour")

	phase("a runner was killed, another stopped")
	back := time.Now()
	b.startMonitor()
	var told string
	defer func() {
		if t.Failed() {
			for _, program := range []string{"workflow-runner", "example-data-agent"} {
				text := b.log(program)
				t.Logf("the end of the log of %s:\n%s", program, text[max(0, len(text)-20000):])
			}
		}
	}()
	eventually(t, "the monitor has heard everything", func() (err error) {
		told, err = b.heardAll(want, map[string]int{first: hourSTFs, second: hourSTFs})
		return err
	})
	for _, id := range []string{before, first, second, third} {
		if x := b.execution(id, want[id]); x.EndTime == nil || !x.EndTime.Before(back) {
			t.Errorf("%s ended at %v, while the monitor came back at %v: not as it was", id, x.EndTime, back)
		}
	}
	b.execution(killed, swf.ExecutionLost)
	phase("the monitor has heard everything")
	t.Log(told)
	b.stop() // what is left is told now, and must have been told already
	if again, err := b.heardAll(want, map[string]int{first: hourSTFs, second: hourSTFs}); err != nil || again != told {
		t.Errorf("afterwards: %s, %v", again, err)
	}
}

// listening waits until every agent has come to the broker that many times.
// Without a monitor nobody else can tell, and broadcasts are heard at most once.
func (b *bench) listening(times int) {
	b.t.Helper()
	for _, program := range []string{"example-data-agent", "example-fastmon-agent", "fast-processing-agent", "example-worker"} {
		eventually(b.t, program+" comes to the broker", func() error {
			if strings.Count(b.log(program), "connection=consuming") < times {
				return errors.New(b.log(program))
			}
			return nil
		})
	}
}

// heardAll checks by identity that the monitor has everything of these
// executions, and nothing twice. runs are those whose number of STFs is known.
func (b *bench) heardAll(executions map[string]string, runs map[string]int) (told string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all, err := b.history.Executions(ctx, monitor.Filter{})
	if err != nil {
		return "", err
	}
	status := map[string]string{}
	for _, x := range all {
		status[x.ExecutionID] = x.Status
	}
	if !maps.Equal(status, executions) {
		return "", fmt.Errorf("executions %v, want %v", status, executions)
	}
	numbers, err := b.runNumbers(ctx)
	if err != nil {
		return "", err
	}
	var lines []string
	for _, id := range slices.Sorted(maps.Keys(runs)) {
		line, err := b.heardRun(ctx, id, numbers[id], runs[id])
		if err != nil {
			return "", fmt.Errorf("%s, run %d: %w", id, numbers[id], err)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), nil
}

// runNumbers finds the run of each execution.
func (b *bench) runNumbers(ctx context.Context) (map[string]int64, error) {
	runs, err := b.history.Runs(ctx)
	numbers := map[string]int64{}
	for _, r := range runs {
		var imminent swf.Message
		if json.Unmarshal(r.RunConditions, &imminent) != nil || numbers[imminent.ExecutionID()] != 0 {
			return nil, fmt.Errorf("run %d has no execution, or one that has another: %s", r.RunNumber, r.RunConditions)
		}
		numbers[imminent.ExecutionID()] = r.RunNumber
		if r.EndTime == nil {
			err = errors.Join(err, fmt.Errorf("run %d of %s has no end", r.RunNumber, imminent.ExecutionID()))
		}
	}
	return numbers, err
}

// heardRun checks all that there is of one run.
func (b *bench) heardRun(ctx context.Context, execution string, run int64, stfs int) (string, error) {
	files, err := b.history.STFFiles(ctx, monitor.FileFilter{RunNumber: run, Status: "processed", Limit: 1000})
	if err != nil {
		return "", err
	}
	names := tally{}
	for _, f := range files {
		names[f.STFFilename]++
	}
	want := tally{}
	for n := range stfs {
		want[fmt.Sprintf("swf.%d.%06d.stf", run, n+1)] = 1
	}
	if !maps.Equal(names, want) {
		return "", fmt.Errorf("STF files: %v", names.against(want))
	}
	samples, slicesDone := tally{}, tally{}
	found, err := b.history.FindTFSlices(ctx, monitor.SliceFilter{RunNumber: run, Status: swf.SliceCompleted, Limit: 1000})
	if err != nil {
		return "", err
	}
	wantSamples := tally{}
	for name := range names {
		wantSamples[strings.TrimSuffix(name, ".stf")+"_tf_001.tf"] = 1
	}
	for _, s := range found {
		samples[s.FastMonFile]++
		slicesDone[fmt.Sprint(s.FastMonFile, s.SliceID)]++
	}
	if !maps.Equal(samples, wantSamples) {
		return "", fmt.Errorf("samples with a slice that is completed: %v", samples.against(wantSamples))
	}
	state, err := b.history.RunState(ctx, run)
	if err != nil {
		return "", err
	}
	if state == nil || state.State != "ended" || state.STFSamplesReceived != stfs || state.SlicesQueued != stfs || state.SlicesCompleted != stfs {
		return "", fmt.Errorf("its state is %+v", state)
	}
	events, err := b.eventsOf(ctx, run)
	if err != nil {
		return "", err
	}
	if want := (tally{"run_imminent": 1, "start_run": 1, "end_run": 1, "tf_file_processed": stfs, "slice_result": stfs}); !maps.Equal(events, want) {
		return "", fmt.Errorf("events: %v", events.against(want))
	}
	records, err := b.broadcastsLogged(ctx, execution)
	if err != nil {
		return "", err
	}
	if want := (tally{"run_imminent": 1, "start_run": 1, "stf_gen": stfs, "end_run": 1}); !maps.Equal(records, want) {
		return "", fmt.Errorf("log records of broadcasts: %v", records.against(want))
	}
	return fmt.Sprintf("%s: %d STFs, %d samples, %d slices, %v events, %v log records of broadcasts", execution, len(names), len(samples), len(slicesDone), events, records), nil
}

// tally counts by identity.
type tally map[string]int

// against shows where two differ.
func (t tally) against(want tally) (differs []string) {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if t[k] != want[k] {
			differs = append(differs, fmt.Sprintf("%s %d times, not %d", k, t[k], want[k]))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(t)) {
		if want[k] == 0 {
			differs = append(differs, fmt.Sprintf("%s %d times, not at all", k, t[k]))
		}
	}
	return differs
}

// eventsOf counts the state events of a run by type; each of those that name a
// file must be of another one.
func (b *bench) eventsOf(ctx context.Context, run int64) (tally, error) {
	events, err := b.history.StateEvents(ctx, run, "", 1000, 0)
	kinds, seen := tally{}, map[string]bool{}
	for _, e := range events.Items {
		var data struct {
			File string `json:"tf_filename"`
		}
		_ = json.Unmarshal(e.EventData, &data)
		kinds[e.EventType]++
		if key := e.EventType + " " + data.File; seen[key] {
			return nil, fmt.Errorf("%s is there twice", key)
		} else {
			seen[key] = true
		}
	}
	return kinds, err
}

// broadcastsLogged counts the runner's log records of an execution's broadcasts.
func (b *bench) broadcastsLogged(ctx context.Context, execution string) (tally, error) {
	kinds := tally{}
	logs, err := b.history.Logs(ctx, monitor.LogFilter{ExecutionID: execution, Search: "broadcast "}, 1000, 0)
	for _, e := range logs.Items {
		if kind, ok := strings.CutPrefix(e.Message, "broadcast "); ok {
			kind, _, _ = strings.Cut(kind, " ")
			kinds[kind]++
		}
	}
	return kinds, err
}
