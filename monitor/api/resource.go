package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/epic-swf/testbed/monitor/store"
)

// resource is one kind of records and its rules: a router viewset of the
// contract.
type resource struct {
	path    string // under /api/
	model   string // the name in "No … matches the given query."
	label   string // the name in "… with this … already exists."
	table   *store.Table
	access  access
	fields  []field
	filters []string // query parameters that select by equality

	// prepare completes a new record; change decides what an update does to a
	// record that exists. Either may be nil.
	prepare func(a *api, r store.Record)
	change  func(a *api, current, set store.Record) (store.Record, error)
	// list replaces the plain list.
	list func(a *api, r *http.Request, res *resource) (answer, error)
}

func (a *api) listEndpoint(res *resource) endpoint {
	list := func(r *http.Request) (answer, error) { return a.list(r, res) }
	if res.list != nil {
		list = func(r *http.Request) (answer, error) { return res.list(a, r, res) }
	}
	return endpoint{access: res.access, methods: map[string]handler{
		http.MethodGet:  list,
		http.MethodPost: func(r *http.Request) (answer, error) { return a.create(r, res) },
	}}
}

func (a *api) detailEndpoint(res *resource, id string) endpoint {
	return endpoint{access: res.access, methods: map[string]handler{
		http.MethodGet:    func(r *http.Request) (answer, error) { return a.detail(r, res, id) },
		http.MethodPatch:  func(r *http.Request) (answer, error) { return a.update(r, res, id, true) },
		http.MethodPut:    func(r *http.Request) (answer, error) { return a.update(r, res, id, false) },
		http.MethodDelete: func(r *http.Request) (answer, error) { return a.remove(r, res, id) },
	}}
}

// list answers a bare array, newest first, of at most store.MaxRows records;
// a Link header says where it goes on when there are more.
func (a *api) list(r *http.Request, res *resource) (answer, error) {
	query := r.URL.Query()
	equal, none, err := res.selection(query)
	if err != nil {
		return answer{}, err
	}
	if none {
		return answer{status: http.StatusOK, body: []json.RawMessage{}}, nil
	}
	return a.listEqual(r, res, equal)
}

func (a *api) listEqual(r *http.Request, res *resource, equal map[string]any) (answer, error) {
	offset := nonNegative(r.URL.Query().Get("page_offset"))
	page, err := a.store.List(r.Context(), res.table, store.Query{Equal: equal, Offset: offset})
	if err != nil {
		return answer{}, err
	}
	bodies, err := encodeAll(res.table, page.Records)
	if err != nil {
		return answer{}, err
	}
	ans := answer{status: http.StatusOK, body: bodies}
	if page.More {
		next := withQuery(r, map[string]string{"page_offset": strconv.Itoa(offset + len(bodies))})
		ans.header = http.Header{"Link": {fmt.Sprintf("<%s>; rel=\"next\"", next)}}
	}
	return ans, nil
}

// selection reads the filters of a query. An empty value is no filter; none
// says that no record can match.
func (res *resource) selection(query url.Values) (equal map[string]any, none bool, err error) {
	equal = map[string]any{}
	for _, name := range res.filters {
		text := query.Get(name)
		if text == "" {
			continue
		}
		column, _ := res.table.Column(name)
		if column.Kind != store.Int {
			equal[name] = text
			continue
		}
		n, ok := wholeNumber(json.RawMessage(strconv.Quote(text)))
		if !ok {
			return nil, false, badRequest(fieldErrors{name: {"Enter a number."}})
		}
		if n.tooHigh || n.tooLow {
			return nil, true, nil
		}
		equal[name] = n.value
	}
	return equal, false, nil
}

func (a *api) create(r *http.Request, res *resource) (answer, error) {
	object, err := readObject(r)
	if err != nil {
		return answer{}, err
	}
	record, err := a.validate(r.Context(), res, object, false)
	if err != nil {
		return answer{}, err
	}
	if res.prepare != nil {
		res.prepare(a, record)
	}
	record, err = a.store.Insert(r.Context(), res.table, record)
	if err != nil {
		return answer{}, res.writeError(err)
	}
	return encoded(http.StatusCreated, res.table, record)
}

func (a *api) detail(r *http.Request, res *resource, id string) (answer, error) {
	key, ok := res.key(id)
	if !ok {
		return answer{}, res.writeError(store.ErrNotFound)
	}
	record, err := a.store.Get(r.Context(), res.table, res.table.Key, key)
	if err != nil {
		return answer{}, res.writeError(err)
	}
	return encoded(http.StatusOK, res.table, record)
}

func (a *api) update(r *http.Request, res *resource, id string, partial bool) (answer, error) {
	object, err := readObject(r)
	if err != nil {
		return answer{}, err
	}
	key, ok := res.key(id)
	if !ok {
		return answer{}, res.writeError(store.ErrNotFound)
	}
	// The record that is not there is told before the faults of the request.
	if _, err := a.store.Get(r.Context(), res.table, res.table.Key, key); err != nil {
		return answer{}, res.writeError(err)
	}
	set, err := a.validate(r.Context(), res, object, partial)
	if err != nil {
		return answer{}, err
	}
	record, err := a.store.Update(r.Context(), res.table, key, func(current store.Record) (store.Record, error) {
		if res.change != nil {
			return res.change(a, current, set)
		}
		return set, nil
	})
	var p *problem
	if errors.As(err, &p) {
		return answer{}, p
	}
	if err != nil {
		return answer{}, res.writeError(err)
	}
	return encoded(http.StatusOK, res.table, record)
}

func (a *api) remove(r *http.Request, res *resource, id string) (answer, error) {
	key, ok := res.key(id)
	if !ok {
		return answer{}, res.writeError(store.ErrNotFound)
	}
	if err := a.store.Delete(r.Context(), res.table, key); err != nil {
		return answer{}, res.writeError(err)
	}
	return answer{status: http.StatusNoContent}, nil
}
