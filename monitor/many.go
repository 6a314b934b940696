package monitor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// MaxMany is how many records one call writes at most.
const MaxMany = 1000

// Our monitor takes some kinds of records in lists, all or none of them in one
// transaction; the Python one does not, so that each of them is a call there
// (contract 1.4), and those before one that is refused are written.

// CreateTFSlices is CreateTFSlice of several slices. It returns them in order.
func (c *Client) CreateTFSlices(ctx context.Context, all []swf.TFSlice) ([]swf.TFSlice, error) {
	bodies := make([]map[string]any, len(all))
	for i, s := range all {
		bodies[i] = sliceBody(s)
	}
	var made []swf.TFSlice
	done, err := c.many(ctx, call{method: http.MethodPost, path: "tf-slices/", body: bodies, out: &made}, len(all))
	switch {
	case err != nil:
		return nil, err
	case done && len(made) != len(all):
		return nil, c.unavailable(fmt.Errorf("it made %d of %d slices", len(made), len(all)))
	case done:
		return made, nil
	}
	for _, s := range all {
		one, err := c.CreateTFSlice(ctx, s)
		if err != nil {
			return nil, err
		}
		made = append(made, *one)
	}
	return made, nil
}

// SlicePatch is what is to change of one slice.
type SlicePatch struct {
	ID     int64
	Fields map[string]any
}

// PatchTFSlices is PatchTFSlice of several slices.
func (c *Client) PatchTFSlices(ctx context.Context, all []SlicePatch) error {
	bodies := make([]map[string]any, len(all))
	for i, p := range all {
		bodies[i] = map[string]any{"id": p.ID}
		for k, v := range p.Fields {
			bodies[i][k] = v
		}
	}
	done, err := c.many(ctx, call{method: http.MethodPatch, path: "tf-slices/", body: bodies}, len(all))
	if done || err != nil {
		return err
	}
	for _, p := range all {
		if err := c.PatchTFSlice(ctx, p.ID, p.Fields); err != nil {
			return err
		}
	}
	return nil
}

// PostStateEvents is PostStateEvent of several events.
func (c *Client) PostStateEvents(ctx context.Context, all []swf.StateEvent) error {
	bodies := make([]swf.StateEvent, len(all))
	for i, e := range all {
		bodies[i] = eventBody(e)
	}
	done, err := c.many(ctx, call{method: http.MethodPost, path: "system-state-events/", body: bodies}, len(all))
	if done || err != nil {
		return err
	}
	for _, e := range all {
		if err := c.PostStateEvent(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// many makes a call that writes a list, and reports whether the monitor took it
// as one. Once it has not, it is not asked again.
func (c *Client) many(ctx context.Context, k call, records int) (done bool, err error) {
	if records < 2 || c.single.Load() {
		return records == 0, nil
	}
	err = c.do(ctx, k)
	var status *StatusError
	if errors.As(err, &status) && (status.Status == http.StatusMethodNotAllowed ||
		status.Status == http.StatusBadRequest && strings.Contains(status.Body, "Expected a dictionary")) {
		c.single.Store(true)
		return false, nil
	}
	return err == nil, err
}
