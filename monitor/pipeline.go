package monitor

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/epic-swf/testbed/swf"
)

// CreateFastMonFile posts a sample of time frames and returns it as stored. A
// name that exists already is a *StatusError of 400.
func (c *Client) CreateFastMonFile(ctx context.Context, f swf.FastMonFile) (*swf.FastMonFile, error) {
	body := map[string]any{"stf_file": f.STFFile, "tf_filename": f.TFFilename, "file_size_bytes": f.FileSizeBytes,
		"tf_count": f.TFCount, "tf_first": f.TFFirst, "tf_last": f.TFLast, "metadata": objectOr(f.Metadata)}
	if f.Status != "" {
		body["status"] = f.Status
	}
	var out swf.FastMonFile
	return result(&out, c.do(ctx, call{method: http.MethodPost, path: "fastmon-files/", body: body, out: &out}))
}

// FastMonFile returns the sample of that name, nil when there is none.
func (c *Client) FastMonFile(ctx context.Context, tfFilename string) (*swf.FastMonFile, error) {
	found, err := list[swf.FastMonFile](ctx, c, "fastmon-files/", filter("tf_filename", tfFilename))
	if err != nil {
		return nil, err
	}
	for i := range found {
		if found[i].TFFilename == tfFilename {
			return &found[i], nil
		}
	}
	return nil, nil
}

// FastMonFiles returns the samples taken from one STF file, newest first.
func (c *Client) FastMonFiles(ctx context.Context, stfFilename string) ([]swf.FastMonFile, error) {
	return list[swf.FastMonFile](ctx, c, "fastmon-files/", filter("stf_filename", stfFilename))
}

// CreateTFSlice posts a slice and returns it with its id. One that exists
// already (its FastMonFile and SliceID) is a *StatusError of 400.
func (c *Client) CreateTFSlice(ctx context.Context, s swf.TFSlice) (*swf.TFSlice, error) {
	var out swf.TFSlice
	return result(&out, c.do(ctx, call{method: http.MethodPost, path: "tf-slices/", body: sliceBody(s), out: &out}))
}

func sliceBody(s swf.TFSlice) map[string]any {
	body := map[string]any{"fastmon_file": s.FastMonFile, "slice_id": s.SliceID, "tf_first": s.TFFirst, "tf_last": s.TFLast,
		"tf_count": s.TFCount, "run_number": s.RunNumber, "retries": s.Retries, "metadata": objectOr(s.Metadata)}
	if s.Status != "" {
		body["status"] = s.Status
	}
	return body
}

// SliceFilter selects slices; zero values select all. SliceID nil is any.
type SliceFilter struct {
	RunNumber   int64
	SliceID     *int
	FastMonFile string // the name of the sample
	Status      string
	Limit       int // at most 1000; 0: as many as the monitor gives
	Offset      int
}

// FindTFSlices returns slices, open ones first, each kind oldest first.
func (c *Client) FindTFSlices(ctx context.Context, f SliceFilter) ([]swf.TFSlice, error) {
	q := filter("fastmon_file__tf_filename", f.FastMonFile, "status", f.Status)
	if f.SliceID != nil {
		q.Set("slice_id", strconv.Itoa(*f.SliceID))
	}
	if f.RunNumber > 0 {
		q.Set("run_number", strconv.FormatInt(f.RunNumber, 10))
	}
	return list[swf.TFSlice](ctx, c, "tf-slices/", paged(q, f.Limit, f.Offset))
}

// PatchTFSlice changes fields of the slice with that id (not its SliceID).
func (c *Client) PatchTFSlice(ctx context.Context, id int64, fields map[string]any) error {
	return c.do(ctx, call{method: http.MethodPatch, path: fmt.Sprintf("tf-slices/%d/", id), body: fields})
}
