package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/monitor/store"
)

// validate reads a client's object into the columns of res. Unknown fields are
// ignored. partial (PATCH) asks for nothing and fills in nothing. Its error is
// a *problem that names every field at fault, or a failure of the store.
func (a *api) validate(ctx context.Context, res *resource, object object, partial bool, known existing) (store.Record, error) {
	set, errs := store.Record{}, fieldErrors{}
	for i := range res.fields {
		f := &res.fields[i]
		if f.readOnly {
			continue
		}
		raw, given := object[f.name]
		if !given {
			switch {
			case partial:
			case f.required:
				errs.add(f.name, msgRequired)
			case f.def != nil:
				set[f.name] = f.def
			}
			continue
		}
		column, _ := res.table.Column(f.name)
		if f.ref != nil {
			value, message, err := a.resolve(ctx, f, raw, known)
			if err != nil {
				return nil, err
			}
			put(set, errs, f.name, value, message)
			continue
		}
		value, message := f.parse(column.Kind, raw)
		put(set, errs, f.name, value, message)
	}
	return set, errs.orNil()
}

// put stores a parsed value, or the message about it.
func put(set store.Record, errs fieldErrors, name string, value any, message string) {
	if message != "" {
		errs.add(name, message)
		return
	}
	set[name] = value
}

// existing are the records, by table and value, of which a request has found
// already that they exist. nil remembers none.
type existing map[string]bool

// resolve checks that a value names a record that exists.
func (a *api) resolve(ctx context.Context, f *field, raw json.RawMessage, known existing) (value any, message string, err error) {
	if isNull(raw) {
		if f.nullable {
			return nil, "", nil
		}
		return nil, msgNull, nil
	}
	column, missing := f.ref.table.Key, "Invalid pk \"%.100s\" - object does not exist."
	if f.ref.slug != "" {
		column, missing = f.ref.slug, "Object with "+f.ref.slug+"=%.100s does not exist."
	}
	text := strings.TrimSpace(scalarText(raw))
	value, message = f.ref.parse(column, raw)
	switch {
	case message != "":
		return nil, message, nil
	case value == nil: // no record can have it
		return nil, fmt.Sprintf(missing, text), nil
	}
	name := f.ref.table.Name + " " + text
	if known[name] {
		return value, "", nil
	}
	_, err = a.store.Get(ctx, f.ref.table, column, value)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, fmt.Sprintf(missing, text), nil
	case err == nil && known != nil:
		known[name] = true
	}
	return value, "", err
}

// parse reads what a reference may be; nil is one that cannot exist.
func (ref *reference) parse(column string, raw json.RawMessage) (value any, message string) {
	c, _ := ref.table.Column(column)
	if c.Kind == store.Int {
		n, ok := wholeNumber(raw)
		switch {
		case !ok:
			return nil, fmt.Sprintf("Incorrect type. Expected pk value, received %s.", typeName(raw))
		case n.tooHigh || n.tooLow:
			return nil, ""
		}
		return n.value, ""
	}
	text := scalarText(raw)
	if ref.slug != "" {
		switch kind := typeName(raw); {
		case kind != "str" && kind != "int" && kind != "float":
			return nil, "Invalid value."
		case !storable(text):
			return nil, ""
		}
		return text, ""
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return nil, fmt.Sprintf("“%.100s” is not a valid UUID.", text)
	}
	return id.String(), ""
}

// conflict is the contract's text for a value that is there already.
func (res *resource) conflict(e *store.ConflictError) *problem {
	if len(e.Columns) > 1 {
		return badRequest(fieldErrors{"non_field_errors": {
			"The fields " + strings.Join(e.Columns, ", ") + " must make a unique set."}})
	}
	column := e.Columns[0]
	return badRequest(fieldErrors{column: {fmt.Sprintf("%s with this %s already exists.",
		res.label, strings.ReplaceAll(column, "_", " "))}})
}

// writeError turns what the store says of a write into the contract's answer; a
// *problem stays one.
func (res *resource) writeError(err error) error {
	var taken *store.ConflictError
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &taken):
		return res.conflict(taken)
	case errors.Is(err, store.ErrNotFound):
		return notFound(fmt.Sprintf("No %s matches the given query.", res.model))
	case errors.Is(err, store.ErrReference):
		return badRequest(fieldErrors{"non_field_errors": {"A record that this one refers to does not exist."}})
	}
	return err
}

// key reads the id of a detail path; no record can have one of another form.
func (res *resource) key(id string) (any, bool) {
	column, _ := res.table.Column(res.table.Key)
	if column.Kind == store.Int {
		n, err := strconv.ParseInt(id, 10, 64)
		return n, err == nil
	}
	return id, storable(id)
}
