package api

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/epic-swf/testbed/monitor/store"
)

// maxMany is how many records a written list holds at most.
const maxMany = 1000

// Beyond the contract, our own clients write some kinds of records in lists, in
// one transaction: a POST makes all or none, a PATCH to the list's address
// changes all or none, each named by its key. Of a list with faults the first is
// told, as if its object had come alone: who wants to know whose it is sends
// them alone. Other monitors answer such a POST with 400 and such a PATCH with
// 405, as this one does where it takes no list.

// createMany makes the records of a list and answers with them, in order.
func (a *api) createMany(r *http.Request, res *resource, body json.RawMessage) (answer, error) {
	objects, err := asObjects(body)
	if err != nil {
		return answer{}, err
	}
	known, records := existing{}, make([]store.Record, len(objects))
	for i, o := range objects {
		if records[i], err = a.newRecord(r, res, o, known); err != nil {
			return answer{}, err
		}
	}
	if records, err = a.store.InsertAll(r.Context(), res.table, records); err != nil {
		return answer{}, res.writeError(err)
	}
	bodies, err := encodeAll(res.table, records)
	return answer{status: http.StatusCreated, body: bodies}, err
}

// updateMany changes the records of a list and answers with their number.
func (a *api) updateMany(r *http.Request, res *resource) (answer, error) {
	body, err := readBody(r)
	if err != nil {
		return answer{}, err
	}
	objects, err := asObjects(body)
	if err != nil {
		return answer{}, err
	}
	known, keys, sets := existing{}, make([]any, len(objects)), make([]store.Record, len(objects))
	for i, o := range objects {
		var ok bool
		if keys[i], ok = res.key(scalarText(o[res.table.Key])); !ok {
			return answer{}, badRequest(fieldErrors{res.table.Key: {msgRequired}})
		}
		if sets[i], err = a.validate(r.Context(), res, o, true, known); err != nil {
			return answer{}, err
		}
	}
	_, err = a.store.UpdateAll(r.Context(), res.table, keys, func(i int, current store.Record) (store.Record, error) {
		return a.change(r, res, current, sets[i])
	})
	if err != nil {
		return answer{}, res.writeError(err)
	}
	return answer{status: http.StatusOK, body: map[string]int{"updated": len(objects)}}, nil
}

// asObjects reads a list of objects.
func asObjects(body json.RawMessage) ([]object, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil || raw == nil {
		return nil, badRequest(fieldErrors{"non_field_errors": {"Invalid data. Expected a list."}})
	}
	if len(raw) > maxMany {
		return nil, badRequest(fieldErrors{"non_field_errors": {fmt.Sprintf("At most %d records make a list.", maxMany)}})
	}
	objects := make([]object, len(raw))
	for i, one := range raw {
		var err error
		if objects[i], err = asObject(one); err != nil {
			return nil, err
		}
	}
	return objects, nil
}
