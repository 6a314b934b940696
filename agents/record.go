package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// keepRuns is how many runs a recorder remembers: STF files may still come
// after their run's end.
const keepRuns = 64

// recorder makes the data agent's calls to the monitor. Its methods are called
// by the outbox alone, and are harmless when repeated.
type recorder struct {
	monitor *monitor.Client
	log     *slog.Logger
	by      func() string // the agent's name

	ids   map[int64]int64 // monitor's run_id by run number
	order []int64         // run numbers, oldest first
}

// stfFile is one file between its registration and its being processed.
type stfFile struct {
	number    int64 // of the run
	name      string
	message   swf.Message // stf_gen
	announced string      // by whom

	id       string // the monitor's, once registered
	metadata map[string]any
}

// openRun registers a run under its number.
func (r *recorder) openRun(ctx context.Context, number int64, conditions swf.Message) error {
	body, err := json.Marshal(conditions)
	if err != nil {
		return err
	}
	run, err := r.monitor.CreateRun(ctx, swf.Run{RunNumber: number, StartTime: swf.At(time.Now()), RunConditions: body})
	switch {
	case exists(err):
		_, err = r.find(ctx, number) // another agent of the namespace was faster, or we before a crash
		return err
	case err != nil:
		return err
	}
	r.remember(number, run.RunID)
	return nil
}

// closeRun gives a run its end. A run that was stopped before it was imminent
// was never registered.
func (r *recorder) closeRun(ctx context.Context, number int64) error {
	id, err := r.find(ctx, number)
	if errors.Is(err, errNoRun) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.monitor.PatchRun(ctx, id, map[string]any{"end_time": swf.At(time.Now())})
}

// register makes a file known. A run that this process never heard of began
// before the process did: it is found in the monitor, or registered late.
func (r *recorder) register(ctx context.Context, f *stfFile) error {
	run, err := r.find(ctx, f.number)
	if errors.Is(err, errNoRun) {
		if err = r.openRun(ctx, f.number, swf.Message{}); err == nil {
			run, err = r.find(ctx, f.number)
		}
	}
	if err != nil {
		return err
	}
	state := text(f.message, "state")
	if state == "" {
		state = "unknown"
	}
	f.metadata = map[string]any{"created_by": r.by()}
	for _, k := range []string{"substate", "start", "end", "sequence"} {
		f.metadata[k] = f.message[k]
	}
	meta, err := json.Marshal(f.metadata)
	if err != nil {
		return err
	}
	made, err := r.monitor.CreateSTFFile(ctx, swf.STFFile{
		Run: run, STFFilename: f.name, MachineState: state, Status: "registered", Metadata: meta,
	})
	switch {
	case exists(err):
		return r.adopt(ctx, f)
	case err != nil:
		return err
	}
	f.id = made.FileID
	return nil
}

// adopt finds a file that is registered already, with what is known of it.
func (r *recorder) adopt(ctx context.Context, f *stfFile) error {
	files, err := r.monitor.STFFiles(ctx, monitor.FileFilter{Filename: f.name})
	if err != nil {
		return err
	}
	for _, have := range files {
		if have.STFFilename == f.name {
			f.id = have.FileID
			if len(have.Metadata) > 0 && string(have.Metadata) != "null" {
				f.metadata = nil
				return json.Unmarshal(have.Metadata, &f.metadata)
			}
			return nil
		}
	}
	return fmt.Errorf("STF file %s is said to exist but is not to be found", f.name)
}

// processed marks a file, if it was registered, and keeps its metadata, which
// a PATCH replaces as a whole.
func (r *recorder) processed(ctx context.Context, f *stfFile) error {
	if f.id == "" {
		return nil
	}
	meta := make(map[string]any, len(f.metadata)+2)
	maps.Copy(meta, f.metadata)
	meta["processed_by"], meta["updated_at"] = f.announced, swf.At(time.Now())
	return r.monitor.PatchSTFFile(ctx, f.id, map[string]any{"status": "processed", "metadata": meta})
}

var errNoRun = errors.New("the monitor has no run of that number")

// find returns the monitor's key of a run.
func (r *recorder) find(ctx context.Context, number int64) (int64, error) {
	if id, ok := r.ids[number]; ok {
		return id, nil
	}
	run, err := r.monitor.RunByNumber(ctx, number)
	if err != nil {
		return 0, err
	}
	if run == nil {
		return 0, fmt.Errorf("run %d: %w", number, errNoRun)
	}
	r.remember(number, run.RunID)
	return run.RunID, nil
}

func (r *recorder) remember(number, id int64) {
	if _, ok := r.ids[number]; !ok {
		r.order = append(r.order, number)
	}
	r.ids[number] = id
	if len(r.order) > keepRuns {
		delete(r.ids, r.order[0])
		r.order = r.order[1:]
	}
}

// exists reports whether the monitor refused to make a thing twice.
func exists(err error) bool {
	var status *monitor.StatusError
	return errors.As(err, &status) && status.Status == 400 && strings.Contains(status.Body, "already exists")
}

// twice reports whether the monitor refused a second record of what is unique
// by two fields.
func twice(err error) bool {
	var status *monitor.StatusError
	return errors.As(err, &status) && status.Status == 400 && strings.Contains(status.Body, "unique set")
}
