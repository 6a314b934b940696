package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// Kind is the type of a column's values.
type Kind int

// The kinds, with the Go type that a Record holds for each; nil is SQL's NULL.
const (
	Int   Kind = iota + 1 // int64
	Float                 // float64
	Bool                  // bool
	Text                  // string
	Time                  // time.Time, to the microsecond
	JSON                  // json.RawMessage
)

// Column is one named, typed value of a table's records.
type Column struct {
	Name string
	Kind Kind
}

// Table describes the records of one kind. Tables are declared in tables.go
// and never change.
type Table struct {
	Name    string
	Key     string   // the column by which a record is found
	AutoKey bool     // the database numbers new records itself
	Columns []Column // in the order of the contract's objects
	Order   string   // ORDER BY of a list: newest first

	stamped bool // has created_at and updated_at, which the store keeps
	created bool // has created_at
}

// Record is one record, by column. Only the types that Kind names occur.
type Record map[string]any

// Column returns the column of that name.
func (t *Table) Column(name string) (Column, bool) {
	for _, c := range t.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// Encode writes r as the contract's JSON object: every column, in order.
func (t *Table) Encode(r Record) (json.RawMessage, error) {
	out := []byte{'{'}
	for i, c := range t.Columns {
		if i > 0 {
			out = append(out, ',')
		}
		v := r[c.Name]
		if at, ok := v.(time.Time); ok {
			v = swf.At(at)
		}
		b, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("store: encode %s.%s: %w", t.Name, c.Name, err)
		}
		out = append(out, '"')
		out = append(out, c.Name...)
		out = append(out, '"', ':')
		out = append(out, b...)
	}
	return append(out, '}'), nil
}

// Decode fills v, a pointer to one of swf's structs, from r.
func (t *Table) Decode(r Record, v any) error {
	b, err := t.Encode(r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("store: decode %s: %w", t.Name, err)
	}
	return nil
}

// size is about what r takes in memory, for bounding lists.
func (r Record) size() int {
	n := 32 * len(r)
	for _, v := range r {
		switch v := v.(type) {
		case string:
			n += len(v)
		case json.RawMessage:
			n += len(v)
		}
	}
	return n
}

// toSQL turns a Record's value into what the driver stores: times as
// microseconds since 1970, truth as 0 and 1, JSON as text.
func (c Column) toSQL(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case time.Time:
		if c.Kind == Time {
			return v.UnixMicro(), nil
		}
	case bool:
		if c.Kind == Bool {
			if v {
				return int64(1), nil
			}
			return int64(0), nil
		}
	case json.RawMessage:
		if c.Kind == JSON {
			return string(v), nil
		}
	case string:
		if c.Kind == Text {
			return v, nil
		}
	case int64:
		if c.Kind == Int {
			return v, nil
		}
	case float64:
		if c.Kind == Float {
			return v, nil
		}
	}
	return nil, fmt.Errorf("store: column %s cannot hold a %T", c.Name, v)
}

// fromSQL is the way back.
func (c Column) fromSQL(v any) (any, error) {
	if b, ok := v.([]byte); ok {
		v = string(b)
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case int64:
		switch c.Kind {
		case Int:
			return v, nil
		case Bool:
			return v != 0, nil
		case Time:
			return time.UnixMicro(v).UTC(), nil
		case Float:
			return float64(v), nil
		}
	case float64:
		if c.Kind == Float {
			return v, nil
		}
	case string:
		switch c.Kind {
		case Text:
			return v, nil
		case JSON:
			return json.RawMessage(v), nil
		}
	}
	return nil, fmt.Errorf("store: column %s holds a %T", c.Name, v)
}
