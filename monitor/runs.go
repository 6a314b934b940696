package monitor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/epic-swf/testbed/swf"
)

// CreateRun posts a run and returns it with its run_id.
func (c *Client) CreateRun(ctx context.Context, r swf.Run) (*swf.Run, error) {
	body := map[string]any{"run_number": r.RunNumber, "start_time": r.StartTime, "run_conditions": objectOr(r.RunConditions)}
	var out swf.Run
	return result(&out, c.do(ctx, call{method: http.MethodPost, path: "runs/", body: body, out: &out}))
}

// PatchRun changes fields of the run with that run_id (not its number).
func (c *Client) PatchRun(ctx context.Context, runID int64, fields map[string]any) error {
	return c.do(ctx, call{method: http.MethodPatch, path: fmt.Sprintf("runs/%d/", runID), body: fields})
}

// Runs returns runs, newest first.
func (c *Client) Runs(ctx context.Context) ([]swf.Run, error) {
	return list[swf.Run](ctx, c, "runs/", nil)
}

// RunByNumber returns the run of that number, nil when there is none.
func (c *Client) RunByNumber(ctx context.Context, number int64) (*swf.Run, error) {
	runs, err := list[swf.Run](ctx, c, "runs/", filter("run_number", strconv.FormatInt(number, 10)))
	if err != nil {
		return nil, err
	}
	for i := range runs {
		if runs[i].RunNumber == number {
			return &runs[i], nil
		}
	}
	return nil, nil
}

// CreateSTFFile posts a file and returns it with its file_id. Zero values are
// left to the monitor's defaults.
func (c *Client) CreateSTFFile(ctx context.Context, f swf.STFFile) (*swf.STFFile, error) {
	body := map[string]any{"run": f.Run, "stf_filename": f.STFFilename, "file_size_bytes": f.FileSizeBytes}
	for name, value := range map[string]string{"machine_state": f.MachineState, "status": f.Status} {
		if value != "" {
			body[name] = value
		}
	}
	for name, value := range map[string]*string{"checksum": f.Checksum, "workflow_id": f.WorkflowID, "daq_state": f.DAQState,
		"daq_substate": f.DAQSubstate, "workflow_status": f.WorkflowStat} {
		if value != nil {
			body[name] = *value
		}
	}
	if len(f.Metadata) > 0 {
		body["metadata"] = f.Metadata
	}
	if f.TFCount != nil {
		body["tf_count"] = *f.TFCount
	}
	var out swf.STFFile
	return result(&out, c.do(ctx, call{method: http.MethodPost, path: "stf-files/", body: body, out: &out}))
}

// PatchSTFFile changes fields of a file; metadata is replaced, not merged.
func (c *Client) PatchSTFFile(ctx context.Context, fileID string, fields map[string]any) error {
	return c.do(ctx, call{method: http.MethodPatch, path: "stf-files/" + url.PathEscape(fileID) + "/", body: fields})
}

// FileFilter selects STF files; zero values select all. Limit is at most 1000.
type FileFilter struct {
	RunNumber    int64
	Filename     string
	Status       string
	Limit, Start int
}

// STFFiles returns files, newest first.
func (c *Client) STFFiles(ctx context.Context, f FileFilter) ([]swf.STFFile, error) {
	q := filter("stf_filename", f.Filename, "status", f.Status)
	for name, n := range map[string]int64{"run_number": f.RunNumber, "limit": int64(f.Limit), "offset": int64(f.Start)} {
		if n > 0 {
			q.Set(name, strconv.FormatInt(n, 10))
		}
	}
	return list[swf.STFFile](ctx, c, "stf-files/", q)
}

// CreateRunState posts the state of a run's processing.
func (c *Client) CreateRunState(ctx context.Context, s swf.RunState) error {
	return c.do(ctx, call{method: http.MethodPost, path: "run-states/", body: s})
}

// PatchRunState changes fields of a run's processing state.
func (c *Client) PatchRunState(ctx context.Context, runNumber int64, fields map[string]any) error {
	return c.do(ctx, call{method: http.MethodPatch, path: fmt.Sprintf("run-states/%d/", runNumber), body: fields})
}

// RunState returns the processing state of a run, nil when there is none.
func (c *Client) RunState(ctx context.Context, runNumber int64) (*swf.RunState, error) {
	var out swf.RunState
	found, err := c.get(ctx, fmt.Sprintf("run-states/%d/", runNumber), &out)
	if !found {
		return nil, err
	}
	return &out, nil
}

// PostStateEvent posts what happened to a run.
func (c *Client) PostStateEvent(ctx context.Context, e swf.StateEvent) error {
	return c.do(ctx, call{method: http.MethodPost, path: "system-state-events/", body: eventBody(e)})
}

func eventBody(e swf.StateEvent) swf.StateEvent {
	e.EventID = 0
	e.EventData = objectOr(e.EventData)
	return e
}
