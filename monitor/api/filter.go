package api

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/monitor/store"
)

// filter is a query parameter that selects records.
type filter struct {
	param, column string
	is            store.Comparison // 0: equality
	of            *via             // for store.In
	uuid          bool             // equality with a UUID
	member        string           // with store.Contains: the member of a JSON object that must have this value
}

// via names the other table through which a filter selects: those records
// whose column equals the parameter.
type via struct {
	table       *store.Table
	column, key string
}

// exact are filters by equality whose parameters are called as their columns.
// Only those of the contract and what our own clients ask for are declared:
// any other parameter is ignored.
func exact(columns ...string) []filter {
	filters := make([]filter, len(columns))
	for i, c := range columns {
		filters[i] = filter{param: c, column: c}
	}
	return filters
}

// period are the filters since and before of a time column.
func period(column string) []filter {
	return []filter{{param: "since", column: column, is: store.AtLeast}, {param: "before", column: column, is: store.Below}}
}

// selection reads the filters of a query. An empty value is no filter; none
// says that no record can match. Its error is a *problem.
func (res *resource) selection(query url.Values) (q store.Query, none bool, err error) {
	q.Equal = map[string]any{}
	for _, f := range res.filters {
		text := query.Get(f.param)
		if text == "" {
			continue
		}
		if !storable(text) {
			none = true
			continue
		}
		owner := res.table
		column := f.column
		if f.of != nil {
			owner, column = f.of.table, f.of.column
		}
		value, message, impossible := f.value(owner, column, text)
		switch {
		case message != "":
			return q, false, badRequest(fieldErrors{f.param: {message}})
		case impossible:
			none = true
		case f.of != nil:
			q.Where = append(q.Where, store.Condition{Column: f.column, Is: store.In,
				Of: &store.Via{Table: f.of.table, Select: f.of.key, Equal: map[string]any{column: value}}})
		case f.is != 0:
			q.Where = append(q.Where, store.Condition{Column: f.column, Is: f.is, Value: value})
		default:
			q.Equal[f.column] = value
		}
	}
	return q, none, nil
}

// storable reports whether a text can be in a database: PostgreSQL refuses even
// to look for others.
func storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// value reads one parameter as a value of a column. impossible says that no
// record has such a value.
func (f filter) value(t *store.Table, column, text string) (value any, message string, impossible bool) {
	c, _ := t.Column(column)
	switch {
	case f.member != "":
		quoted, err := json.Marshal(map[string]string{f.member: text}) // as the compacted object has it
		return strings.Trim(string(quoted), "{}"), "", err != nil
	case f.is == store.Contains:
		return text, "", false
	case f.uuid:
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, "Enter a valid UUID.", false
		}
		return id.String(), "", false
	case c.Kind == store.Int:
		n, ok := wholeNumber(json.RawMessage(strconv.Quote(text)))
		if !ok {
			return nil, "Enter a number.", false
		}
		return n.value, "", n.tooHigh || n.tooLow
	case c.Kind == store.Time:
		at, message := parseTime(json.RawMessage(strconv.Quote(text)))
		if message != "" {
			return nil, "Enter a valid date/time.", false
		}
		return at, "", false
	}
	return text, "", false
}
