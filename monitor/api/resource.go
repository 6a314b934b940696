package api

import (
	"maps"
	"net/http"
	"net/url"

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
	filters []filter
	paged   bool                  // a list with a limit is a page
	many    bool                  // may be written in lists, see many.go
	oldest  func(url.Values) bool // whether a list is the table's order backwards; nil: never

	// shape readies what a client sent before it is validated, prepare
	// completes a new record, change decides what an update does to a record
	// that exists, check refuses a query. Any may be nil.
	owner   func(store.Record) string // whose a record is; nil: everybody's
	shape   func(o object)
	prepare func(a *api, t *store.Table, r store.Record)
	change  func(a *api, current, set store.Record) (store.Record, error)
	check   func(r *http.Request) error
}

func (a *api) listEndpoint(res *resource) endpoint {
	methods := map[string]handler{
		http.MethodGet:  func(r *http.Request) (answer, error) { return a.list(r, res) },
		http.MethodPost: func(r *http.Request) (answer, error) { return a.create(r, res) },
	}
	if res.many {
		methods[http.MethodPatch] = func(r *http.Request) (answer, error) { return a.updateMany(r, res) }
	}
	return endpoint{access: res.access, methods: methods}
}

func (a *api) detailEndpoint(res *resource, id string) endpoint {
	return endpoint{access: res.access, methods: map[string]handler{
		http.MethodGet:    func(r *http.Request) (answer, error) { return a.detail(r, res, id) },
		http.MethodPatch:  func(r *http.Request) (answer, error) { return a.update(r, res, id, true) },
		http.MethodPut:    func(r *http.Request) (answer, error) { return a.update(r, res, id, false) },
		http.MethodDelete: func(r *http.Request) (answer, error) { return a.remove(r, res, id) },
	}}
}

func (a *api) create(r *http.Request, res *resource) (answer, error) {
	body, err := readBody(r)
	if err != nil {
		return answer{}, err
	}
	if res.many && len(body) > 0 && typeName(body) == "list" {
		return a.createMany(r, res, body)
	}
	o := object{}
	if body != nil {
		if o, err = asObject(body); err != nil {
			return answer{}, err
		}
	}
	record, err := a.newRecord(r, res, o, nil)
	if err != nil {
		return answer{}, err
	}
	record, err = a.store.Insert(r.Context(), res.table, record)
	if err != nil {
		return answer{}, res.writeError(err)
	}
	return encoded(http.StatusCreated, res.table, record)
}

// newRecord makes a record of what a client sent, if it may write it.
func (a *api) newRecord(r *http.Request, res *resource, o object, known existing) (store.Record, error) {
	if res.shape != nil {
		res.shape(o)
	}
	record, err := a.validate(r.Context(), res, o, false, known)
	if err != nil {
		return nil, err
	}
	if err := res.mayWrite(r, record); err != nil {
		return nil, err
	}
	if res.prepare != nil {
		res.prepare(a, res.table, record)
	}
	return record, nil
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
	if _, err := a.own(r, res, key); err != nil {
		return answer{}, err
	}
	if res.shape != nil && !partial {
		res.shape(object)
	}
	set, err := a.validate(r.Context(), res, object, partial, nil)
	if err != nil {
		return answer{}, err
	}
	record, err := a.store.Update(r.Context(), res.table, key, func(current store.Record) (store.Record, error) {
		return a.change(r, res, current, set)
	})
	if err != nil {
		return answer{}, res.writeError(err)
	}
	return encoded(http.StatusOK, res.table, record)
}

// change is what becomes of a record that exists, if who asks may write that.
func (a *api) change(r *http.Request, res *resource, current, set store.Record) (store.Record, error) {
	after := maps.Clone(current)
	maps.Copy(after, set)
	if err := res.mayWrite(r, after); err != nil { // nor is it given away
		return nil, err
	}
	if res.change != nil {
		return res.change(a, current, set)
	}
	return set, nil
}

// own returns the record of that key, if who asks may write it.
func (a *api) own(r *http.Request, res *resource, key any) (store.Record, error) {
	record, err := a.store.Get(r.Context(), res.table, res.table.Key, key)
	if err != nil {
		return nil, res.writeError(err)
	}
	return record, res.mayWrite(r, record)
}

func (a *api) remove(r *http.Request, res *resource, id string) (answer, error) {
	key, ok := res.key(id)
	if !ok {
		return answer{}, res.writeError(store.ErrNotFound)
	}
	if _, err := a.own(r, res, key); err != nil {
		return answer{}, err
	}
	if err := a.store.Delete(r.Context(), res.table, key); err != nil {
		return answer{}, res.writeError(err)
	}
	return answer{status: http.StatusNoContent}, nil
}
