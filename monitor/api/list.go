package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/epic-swf/testbed/monitor/store"
)

// list answers a bare array in the table's order, of at most store.MaxRows
// records; a Link header says where it goes on when there are more. Beyond the
// contract our own clients may ask for "limit" and "offset"; the header
// X-Total-Count then tells how many records there are in all.
func (a *api) list(r *http.Request, res *resource) (answer, error) {
	if res.check != nil {
		if err := res.check(r); err != nil {
			return answer{}, err
		}
	}
	query := r.URL.Query()
	q, none, err := res.selection(query)
	if err != nil {
		return answer{}, err
	}
	q.Oldest = res.oldest != nil && res.oldest(query)
	if res.paged && nonNegative(query.Get("limit")) > 0 {
		return a.page(r, res, q, none)
	}
	return a.bare(r, res, q, none)
}

// bare is the array.
func (a *api) bare(r *http.Request, res *resource, q store.Query, none bool) (answer, error) {
	query := r.URL.Query()
	offset := "page_offset"
	if q.Limit = nonNegative(query.Get("limit")); q.Limit > 0 {
		offset = "offset"
	}
	q.Offset = nonNegative(query.Get(offset))
	ans := answer{status: http.StatusOK, body: []json.RawMessage{}, header: http.Header{}}
	var page store.Page
	var total int64
	var err error
	if !none {
		if page, err = a.store.List(r.Context(), res.table, q); err == nil && q.Limit > 0 {
			total, err = a.store.Count(r.Context(), res.table, q)
		}
		if err != nil {
			return answer{}, err
		}
		if ans.body, err = encodeAll(res.table, page.Records); err != nil {
			return answer{}, err
		}
	}
	if q.Limit > 0 {
		ans.header.Set("X-Total-Count", strconv.FormatInt(total, 10))
	}
	if page.More {
		next := withQuery(r, map[string]string{offset: strconv.Itoa(q.Offset + len(page.Records))})
		ans.header.Set("Link", fmt.Sprintf("<%s>; rel=\"next\"", next))
	}
	return ans, nil
}

// page is the contract's page {count, next, previous, results}, which lists of
// files are when the query has a valid limit.
func (a *api) page(r *http.Request, res *resource, q store.Query, none bool) (answer, error) {
	query := r.URL.Query()
	limit, offset := nonNegative(query.Get("limit")), nonNegative(query.Get("offset"))
	q.Limit, q.Offset = limit, offset
	var page store.Page
	var count int64
	var err error
	if !none {
		if count, err = a.store.Count(r.Context(), res.table, q); err != nil {
			return answer{}, err
		}
		if page, err = a.store.List(r.Context(), res.table, q); err != nil {
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

// given reports whether a query has a parameter.
func given(param string) func(url.Values) bool {
	return func(query url.Values) bool { return query.Get(param) != "" }
}
