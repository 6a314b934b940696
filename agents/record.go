package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// keepRuns is how many runs a recorder remembers: STF files may still come
// after their run's end.
const keepRuns = 64

// keepFiles is how many files a recorder remembers between their registration
// and their being processed.
const keepFiles = 1000

// The events of a data agent, as they wait in its outbox. Each says when what it
// tells of was, since it may be told much later.
const (
	eventRun       = "run"
	eventEndRun    = "end run"
	eventSTF       = "stf"
	eventProcessed = "stf processed"
)

type runEvent struct {
	Number     int64         `json:"number"`
	At         swf.Timestamp `json:"at"`
	Conditions swf.Message   `json:"conditions"`
}

type endRunEvent struct {
	Number int64         `json:"number"`
	At     swf.Timestamp `json:"at"`
}

type stfEvent struct {
	Number  int64         `json:"number"` // of the run
	Name    string        `json:"name"`
	Message swf.Message   `json:"message"` // stf_gen
	By      string        `json:"by"`
	At      swf.Timestamp `json:"at"`
}

type processedEvent struct {
	Name string        `json:"name"`
	By   string        `json:"by"`
	At   swf.Timestamp `json:"at"`
}

// recorder tells a data agent's events to the monitor. Its methods are called by
// the outbox alone, and are harmless when repeated: runs and files have names.
type recorder struct {
	monitor *monitor.Client

	ids   map[int64]int64 // monitor's run_id by run number
	order []int64         // run numbers, oldest first
	files map[string]stfFile
}

// stfFile is what the monitor has of a file.
type stfFile struct {
	id       string
	metadata map[string]any
}

// handle has the outbox call the recorder.
func (r *recorder) handle(o *Outbox) {
	Handle(o, eventRun, func(ctx context.Context, e runEvent, _ bool) error { return r.openRun(ctx, e) })
	Handle(o, eventEndRun, func(ctx context.Context, e endRunEvent, _ bool) error { return r.closeRun(ctx, e) })
	Handle(o, eventSTF, func(ctx context.Context, e stfEvent, _ bool) error { return r.register(ctx, e) })
	Handle(o, eventProcessed, func(ctx context.Context, e processedEvent, _ bool) error { return r.processed(ctx, e) })
}

// openRun registers a run under its number.
func (r *recorder) openRun(ctx context.Context, e runEvent) error {
	body, err := json.Marshal(e.Conditions)
	if err != nil {
		return err
	}
	run, err := r.monitor.CreateRun(ctx, swf.Run{RunNumber: e.Number, StartTime: e.At, RunConditions: body})
	switch {
	case exists(err):
		_, err = r.find(ctx, e.Number) // another agent of the namespace was faster, or we before a crash
		return err
	case err != nil:
		return err
	}
	r.remember(e.Number, run.RunID)
	return nil
}

// closeRun gives a run its end, once: end_run comes again where it may not have
// been heard. A run that was stopped before it was imminent was never registered.
func (r *recorder) closeRun(ctx context.Context, e endRunEvent) error {
	run, err := r.monitor.RunByNumber(ctx, e.Number)
	if err != nil || run == nil || run.EndTime != nil {
		return err
	}
	return r.monitor.PatchRun(ctx, run.RunID, map[string]any{"end_time": e.At})
}

// register makes a file known. A run that this process never heard of began
// before the process did: it is found in the monitor, or registered late.
func (r *recorder) register(ctx context.Context, e stfEvent) error {
	run, err := r.find(ctx, e.Number)
	if errors.Is(err, errNoRun) {
		if err = r.openRun(ctx, runEvent{Number: e.Number, At: e.At, Conditions: swf.Message{}}); err == nil {
			run, err = r.find(ctx, e.Number)
		}
	}
	if err != nil {
		return err
	}
	state := text(e.Message, "state")
	if state == "" {
		state = "unknown"
	}
	metadata := map[string]any{"created_by": e.By}
	for _, k := range []string{"substate", "start", "end", "sequence"} {
		metadata[k] = e.Message[k]
	}
	body, err := json.Marshal(metadata)
	if err != nil {
		return err
	}
	made, err := r.monitor.CreateSTFFile(ctx, swf.STFFile{
		Run: run, STFFilename: e.Name, MachineState: state, Status: "registered", Metadata: body,
	})
	switch {
	case exists(err):
		return nil
	case err != nil:
		return err
	}
	if len(r.files) >= keepFiles { // they were not announced
		clear(r.files)
	}
	r.files[e.Name] = stfFile{id: made.FileID, metadata: metadata}
	return nil
}

// processed marks a file, if it was registered, and keeps its metadata, which
// a PATCH replaces as a whole.
func (r *recorder) processed(ctx context.Context, e processedEvent) error {
	f, ok := r.files[e.Name]
	if !ok {
		found, err := r.look(ctx, e.Name)
		if err != nil || found == nil {
			return err
		}
		f = *found
	}
	meta := make(map[string]any, len(f.metadata)+2)
	maps.Copy(meta, f.metadata)
	meta["processed_by"], meta["updated_at"] = e.By, e.At
	err := r.monitor.PatchSTFFile(ctx, f.id, map[string]any{"status": "processed", "metadata": meta})
	if err == nil {
		delete(r.files, e.Name)
	}
	return err
}

// look finds a file that this process did not register, nil when there is none.
func (r *recorder) look(ctx context.Context, name string) (*stfFile, error) {
	files, err := r.monitor.STFFiles(ctx, monitor.FileFilter{Filename: name})
	if err != nil {
		return nil, err
	}
	for _, have := range files {
		if have.STFFilename != name {
			continue
		}
		f := &stfFile{id: have.FileID}
		if len(have.Metadata) > 0 && string(have.Metadata) != "null" {
			return f, json.Unmarshal(have.Metadata, &f.metadata)
		}
		return f, nil
	}
	return nil, nil
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
