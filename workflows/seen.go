package workflows

import (
	"context"
	"slices"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
)

// seenTime is how long a completed run waits for the last of its files to be
// announced; in virtual time the agents are always behind.
const seenTime = 2 * time.Second

// hear notes which files of the run under way a data agent has announced, so
// that the execution can show what was expected against what was seen:
// broadcasts are at most once.
func (r *Runner) hear(_ context.Context, m swf.Message) {
	if m.Type() != swf.MsgSTFReady {
		return
	}
	x := r.running()
	if x == nil || m.ExecutionID() != x.id {
		return
	}
	name, _ := m["filename"].(string)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.seen == nil {
		x.seen = make(map[string]bool)
	}
	x.seen[name] = true
	select {
	case x.news <- struct{}{}:
	default:
	}
}

func (x *execution) seenFiles() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.seen)
}

// announces reports whether an agent of this testbed is to announce each file;
// of the data agents only "data" does.
func (r *Runner) announces() bool {
	return slices.ContainsFunc(r.o.Testbed.Agents, func(a config.Agent) bool {
		return a.Enabled && a.Name == "data"
	})
}

// awaitFiles gives the data agent a moment to announce the last files.
func (x *execution) awaitFiles(ctx context.Context) {
	timer := time.NewTimer(seenTime)
	defer timer.Stop()
	for x.runner.announces() && x.seenFiles() < x.player.files {
		select {
		case <-x.news:
		case <-timer.C:
			x.log.Warn("not all files of the run were announced", "expected", x.player.files, "seen", x.seenFiles())
			return
		case <-ctx.Done():
			return
		}
	}
}
