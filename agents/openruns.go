package agents

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// filePage is how many STF files are asked for at once; latestRuns is how many
// runs are looked at for what was missed of them.
const (
	filePage   = 500
	latestRuns = 20
)

// openRun is a run under way as the monitor shows it to an agent that has just
// begun to listen.
type openRun struct {
	number    int64
	execution string
	files     []swf.STFFile // oldest first
	over      bool          // its data taking has ended
	untold    bool          // the state that is kept of it does not say so yet
}

// message makes the beginning of a message of that run.
func (r openRun) message(kind string) swf.Message {
	m := swf.Message{"msg_type": kind, "run_id": strconv.FormatInt(r.number, 10), "execution_id": r.execution}
	if r.over {
		m[over] = true
	}
	return m
}

// over marks messages about a run that has ended: nobody is to be summoned for it.
const over = "over"

// unfinishedRuns finds the runs of the namespace that an agent which has just
// begun to listen may have work in: those under way and those that ended while
// it was away. l remembers the parameters of executions.
func (b *Base) unfinishedRuns(ctx context.Context, l *lookups) ([]openRun, error) {
	open, err := b.openRuns(ctx)
	if err != nil {
		return nil, err
	}
	ended, err := b.halfEnded(ctx, l)
	if err != nil {
		return nil, err
	}
	open = slices.DeleteFunc(open, func(r openRun) bool { // its workflow is a moment behind
		return slices.ContainsFunc(ended, func(e openRun) bool { return e.number == r.number })
	})
	return append(open, ended...), nil
}

// openRuns finds the runs of the namespace whose execution has not ended. A
// run belongs to the execution that its run_imminent named.
func (b *Base) openRuns(ctx context.Context) ([]openRun, error) {
	running, err := b.o.Monitor.Executions(ctx, monitor.Filter{Status: swf.ExecutionRunning, Namespace: b.o.Namespace})
	if err != nil || len(running) == 0 {
		return nil, err
	}
	runs, err := b.o.Monitor.Runs(ctx)
	if err != nil {
		return nil, err
	}
	var open []openRun
	for _, run := range runs {
		r := openRun{number: run.RunNumber, execution: imminentOf(run).ExecutionID()}
		if r.execution == "" || !slices.ContainsFunc(running, func(x swf.Execution) bool { return x.ExecutionID == r.execution }) {
			continue
		}
		if r.files, err = b.filesOf(ctx, run); err != nil {
			return nil, err
		}
		open = append(open, r)
	}
	return open, nil
}

// imminentOf is the run_imminent that opened a run; empty where another kind of
// program did.
func imminentOf(run swf.Run) swf.Message {
	var imminent swf.Message
	if json.Unmarshal(run.RunConditions, &imminent) != nil {
		return nil
	}
	return imminent
}

// halfEnded finds, among the latest runs of the namespace, those that have
// ended while the state that is kept of them goes on, or has not seen each
// sample of their files: whoever keeps it, or takes the samples, was not there.
func (b *Base) halfEnded(ctx context.Context, l *lookups) ([]openRun, error) {
	runs, err := b.o.Monitor.Runs(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(runs, func(x, y swf.Run) int { return cmp.Compare(y.RunNumber, x.RunNumber) })
	var found []openRun
	for _, run := range runs[:min(len(runs), latestRuns)] {
		imminent := imminentOf(run)
		if run.EndTime == nil || imminent.Namespace() != b.o.Namespace {
			continue
		}
		state, err := b.o.Monitor.RunState(ctx, run.RunNumber)
		if err != nil {
			return nil, err
		}
		if state == nil {
			continue
		}
		r := openRun{number: run.RunNumber, execution: imminent.ExecutionID(), over: true, untold: state.State != stateEnded}
		if r.files, err = b.filesOf(ctx, run); err != nil {
			return nil, err
		}
		p, err := b.parametersTold(ctx, l, r.execution)
		if err != nil {
			return nil, err
		}
		if r.untold || state.STFSamplesReceived < planOf(p).samplesOf(r.files) {
			found = append(found, r)
		}
	}
	return found, nil
}

func (b *Base) filesOf(ctx context.Context, run swf.Run) ([]swf.STFFile, error) {
	var all []swf.STFFile
	for {
		page, err := b.o.Monitor.STFFiles(ctx, monitor.FileFilter{RunNumber: run.RunNumber, Limit: filePage, Start: len(all)})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < filePage {
			break
		}
	}
	all = slices.DeleteFunc(all, func(f swf.STFFile) bool { return f.Run != run.RunID })
	slices.Reverse(all) // the monitor gives the newest first
	return all, nil
}

// samplesOf is how many samples must be made of files.
func (p plan) samplesOf(files []swf.STFFile) (n int) {
	for _, f := range files {
		n += len(p.sample(f.STFFilename, heldBy(f.TFCount)))
	}
	return n
}
