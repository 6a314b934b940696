package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/monitor/store"
)

// listFiles is the list of STF files: a bare array, or a page {count, next,
// previous, results} when the query has a valid limit. Filters are
// stf_filename, status, run_number and workflow_id.
func listFiles(a *api, r *http.Request, res *resource) (answer, error) {
	equal, none, err := a.fileSelection(r, res)
	if err != nil {
		return answer{}, err
	}
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit <= 0 {
		if none {
			return answer{status: http.StatusOK, body: []json.RawMessage{}}, nil
		}
		return a.listEqual(r, res, equal)
	}
	offset := nonNegative(r.URL.Query().Get("offset"))
	var page store.Page
	var count int64
	if !none {
		if count, err = a.store.Count(r.Context(), res.table, equal); err != nil {
			return answer{}, err
		}
		if page, err = a.store.List(r.Context(), res.table, store.Query{Equal: equal, Limit: limit, Offset: offset}); err != nil {
			return answer{}, err
		}
	}
	results, err := encodeAll(res.table, page.Records)
	if err != nil {
		return answer{}, err
	}
	body := map[string]any{"count": count, "next": nil, "previous": nil, "results": results}
	if page.More { // the bounds of a list may have made this page shorter than limit
		body["next"] = withQuery(r, map[string]string{"limit": strconv.Itoa(limit), "offset": strconv.Itoa(offset + len(results))})
	}
	if offset > 0 {
		previous := "" // the first page has no offset
		if offset > limit {
			previous = strconv.Itoa(offset - limit)
		}
		body["previous"] = withQuery(r, map[string]string{"limit": strconv.Itoa(limit), "offset": previous})
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// fileSelection reads the filters of files. run_number names the run by its
// number, not by its key.
func (a *api) fileSelection(r *http.Request, res *resource) (equal map[string]any, none bool, err error) {
	query := r.URL.Query()
	if equal, none, err = res.selection(query); err != nil || none {
		return equal, none, err
	}
	if text := query.Get("workflow_id"); text != "" {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, false, badRequest(map[string]string{"workflow_id": "must be a UUID"})
		}
		equal["workflow_id"] = id.String()
	}
	if text := query.Get("run_number"); text != "" {
		if !digits(text) {
			return nil, false, badRequest(map[string]string{"run_number": "must be an integer run number"})
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, true, nil // more than any run has
		}
		run, err := a.store.Get(r.Context(), store.Runs, "run_number", n)
		if errors.Is(err, store.ErrNotFound) {
			return nil, true, nil
		}
		if err != nil {
			return nil, false, err
		}
		equal["run"] = run["run_id"]
	}
	return equal, false, nil
}

func digits(text string) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return text != ""
}
