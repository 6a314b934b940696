package api

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/monitor/store"
)

// checkFileFilters are the filters of files that are refused with a text and
// not a list of texts, as in the contract.
func checkFileFilters(r *http.Request) error {
	query := r.URL.Query()
	if text := query.Get("workflow_id"); text != "" && uuid.Validate(text) != nil {
		return badRequest(map[string]string{"workflow_id": "must be a UUID"})
	}
	if text := query.Get("run_number"); text != "" && strings.Trim(text, "0123456789") != "" {
		return badRequest(map[string]string{"run_number": "must be an integer run number"})
	}
	return nil
}

// newKey gives a new record a random UUID as its key.
func newKey(_ *api, t *store.Table, r store.Record) { r[t.Key] = uuid.NewString() }

// sliceRE is what the name of a slice has and that of its file of time frames
// has not.
var sliceRE = regexp.MustCompile(`_slice_[0-9]+(\.[^./]*)?$`)

// shapeSlice takes both shapes of a slice: the monitor's, which names its
// fastmon_file, and the Python agent's, which gives only the slice's own name
// as tf_filename.
func shapeSlice(object object) {
	raw, flat := object["tf_filename"]
	if _, named := object["fastmon_file"]; named || !flat {
		return
	}
	var name string
	if json.Unmarshal(raw, &name) != nil {
		return // then the field that is missing is told
	}
	if parent, err := json.Marshal(sliceRE.ReplaceAllString(name, "$1")); err == nil {
		object["fastmon_file"] = parent
	}
}

// sliceEnds are the statuses of a slice that nobody will work on any more.
var sliceEnds = []string{"completed", "failed"}

// changeSlice gives a slice that is done with the time of that, which the
// Python agent sends under a name that no monitor knows.
func changeSlice(a *api, current, set store.Record) (store.Record, error) {
	status, _ := set["status"].(string)
	if slices.Contains(sliceEnds, status) && current["completed_at"] == nil && set["completed_at"] == nil {
		set["completed_at"] = a.now().UTC()
	}
	return set, nil
}
