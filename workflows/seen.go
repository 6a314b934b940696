package workflows

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/epic-swf/testbed/agents"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
)

// Times of the wait at the end of a completed run for the work of its agents
// to be counted. In virtual time they are always behind, and nothing but the
// work itself takes time, so it goes on as long as something is counted.
const (
	quietReal    = 2 * time.Second
	quietVirtual = 20 * time.Second
	longest      = 5 * time.Minute
	lookEvery    = 100 * time.Millisecond // at what only the monitor knows
)

// work is what became of a run's STFs: what its agents announced and what they
// told the monitor.
type work struct {
	files, samples    int
	queued, completed int // slices
}

// reached reports whether w is as much as want.
func (w work) reached(want work) bool {
	return w.files >= want.files && w.samples >= want.samples && w.queued >= want.queued && w.completed >= want.completed
}

func (w work) String() string {
	return fmt.Sprintf("%d files, %d samples, %d slices queued, %d completed", w.files, w.samples, w.queued, w.completed)
}

// hear notes which files of the run under way an agent has announced, so that
// the execution can show what was expected against what was seen: broadcasts
// are at most once.
func (r *Runner) hear(_ context.Context, m swf.Message) {
	key := map[string]string{swf.MsgSTFReady: "filename", swf.MsgTFFileRegistered: "tf_filename"}[m.Type()]
	x := r.running()
	if key == "" || x == nil || m.ExecutionID() != x.id {
		return
	}
	name, _ := m[key].(string)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.seen == nil {
		x.seen = make(map[string]map[string]bool)
	}
	if x.seen[m.Type()] == nil {
		x.seen[m.Type()] = make(map[string]bool)
	}
	x.seen[m.Type()][name] = true
	select {
	case x.news <- struct{}{}:
	default:
	}
}

func (x *execution) seenFiles(kind string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.seen[kind])
}

// has reports whether an agent is enabled in this testbed.
func (r *Runner) has(agent string) bool {
	return slices.ContainsFunc(r.o.Testbed.Agents, func(a config.Agent) bool { return a.Enabled && a.Name == agent })
}

// expected is what the enabled agents are to make of the run's STFs, each of
// what the one before it makes; of the data agents only "data" announces files.
// In real time the workers need longer than the run, which does not wait.
func (x *execution) expected() work {
	r, want := x.runner, work{}
	if !r.has("data") {
		return want
	}
	want.files = x.player.files
	samples, slices := agents.Implied(agents.Parameters(x.run.Values), x.player.files)
	if !r.has("fastmon") {
		return want
	}
	want.samples = samples
	if !r.has("fast_processing") {
		return want
	}
	want.queued = slices
	if r.has("worker") && !x.run.Realtime {
		want.completed = slices
	}
	return want
}

// observe tells how far the agents are. Of slices the monitor alone knows.
func (x *execution) observe(ctx context.Context, want work) (work, error) {
	have := work{files: x.seenFiles(swf.MsgSTFReady), samples: x.seenFiles(swf.MsgTFFileRegistered)}
	if want.queued == 0 {
		return have, nil
	}
	number, err := strconv.ParseInt(x.player.run, 10, 64)
	if err != nil {
		return have, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	state, err := x.runner.o.Monitor.RunState(ctx, number)
	if err == nil && state != nil {
		have.queued, have.completed = state.SlicesQueued, state.SlicesCompleted
	}
	return have, err
}

// awaitWork gives the agents time to deal with what is in flight.
func (x *execution) awaitWork(ctx context.Context) {
	want := x.expected()
	quiet := quietReal
	if !x.run.Realtime {
		quiet = quietVirtual
	}
	idle := time.NewTimer(quiet)
	defer idle.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	var away time.Time // since when the monitor does not answer
	for last := (work{}); ; {
		have, err := x.observe(ctx, want)
		x.mu.Lock()
		x.work = have
		x.mu.Unlock()
		if err == nil && have.reached(want) {
			return
		}
		if have != last {
			last, away = have, time.Time{}
			idle.Reset(quiet)
		}
		switch {
		case err == nil:
			away = time.Time{}
		case away.IsZero():
			away = time.Now()
		case have.files >= want.files && time.Since(away) > quietReal:
			x.log.Warn("the monitor is away, so nobody sees the rest of the run's work", "expected", want.String(), "seen", have.String())
			return
		}
		select {
		case <-x.news:
		case <-look.C:
		case <-idle.C:
			x.log.Warn("the agents did not do all of the run's work", "expected", want.String(), "seen", have.String())
			return
		case <-ctx.Done():
			return
		}
	}
}

// metrics are the numbers of expected and seen for the execution's record.
func (x *execution) metrics(into map[string]any) {
	want := x.expected()
	x.mu.Lock()
	have := x.work
	x.mu.Unlock()
	if want.files > 0 {
		into["stf_ready"] = x.seenFiles(swf.MsgSTFReady)
	}
	if want.samples > 0 {
		into["samples"], into["samples_expected"] = x.seenFiles(swf.MsgTFFileRegistered), want.samples
	}
	if want.queued > 0 {
		into["slices_queued"], into["slices_expected"] = have.queued, want.queued
		into["slices_completed"] = have.completed
	}
}
