package tools

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// object is a JSON object whose members keep their order, so that schemas and
// golden files read like the structs they come from.
type object []member

type member struct {
	key   string
	value any
}

// append writes the object in one pass. As a json.Marshaler it would be checked
// and copied once for each object that it is in: a third of what a server does
// before its first answer.
func (o object) append(b []byte) []byte {
	b = append(b, '{')
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSON(b, m.key), ':')
		b = appendJSON(b, m.value)
	}
	return append(b, '}')
}

func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case object:
		return v.append(b)
	case []object:
		b = append(b, '[')
		for i, o := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = o.append(b)
		}
		return append(b, ']')
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // schemas are built from Go types alone
	}
	return append(b, text...)
}

// inputSchema describes the arguments: a closed object.
func inputSchema(list []param) json.RawMessage {
	properties := object{}
	var required []string
	for _, p := range list {
		s := object{{"type", p.typ}, {"description", p.doc}}
		if p.kind != "" {
			s = append(s, member{"pattern", swf.Pattern(p.kind)})
		}
		if p.enum != nil {
			s = append(s, member{"enum", p.enum})
		}
		if p.min != nil {
			s = append(s, member{"minimum", *p.min})
		}
		switch {
		case p.max == nil:
		case p.typ == "string":
			s = append(s, member{"maxLength", *p.max})
		default:
			s = append(s, member{"maximum", *p.max})
		}
		properties = append(properties, member{p.name, s})
		if p.required {
			required = append(required, p.name)
		}
	}
	return closed(properties, required)
}

// outputSchema describes an answer by its Go type: closed, with fields without
// omitempty required; a pointer, slice or map without it may be null, which
// means that it is not known. What is inside is described without the same
// rigour, and not at all where a field is tagged schema:"brief": definitions
// are paid for in every conversation. Tests hold answers against exact.
func outputSchema(t reflect.Type) json.RawMessage { return encode(sketch.structure(t, true)) }

func closed(properties object, required []string) json.RawMessage {
	return encode(closedObject(properties, required))
}

func closedObject(properties object, required []string) object {
	s := object{{"type", "object"}, {"properties", properties}}
	if len(required) > 0 {
		s = append(s, member{"required", required})
	}
	return append(s, member{"additionalProperties", false})
}

func encode(o object) json.RawMessage { return slices.Clip(o.append(nil)) }

var enums = map[reflect.Type][]string{
	reflect.TypeFor[control.Outcome](): {string(control.Succeeded), string(control.Failed), string(control.Refused),
		string(control.Expired), string(control.Pending), string(Unknown)},
	reflect.TypeFor[swf.TestbedState](): {string(swf.TestbedStopped), string(swf.TestbedStarting), string(swf.TestbedRunning),
		string(swf.TestbedStopping), string(swf.TestbedPartial), string(swf.TestbedUnknown)},
}

// detail is how much a schema says.
type detail int

const (
	sketch detail = iota // for clients
	exact                // for tests
)

func (d detail) of(t reflect.Type) object {
	if values, ok := enums[t]; ok {
		return object{{"type", "string"}, {"enum", values}}
	}
	switch t {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[swf.Timestamp]():
		if d == sketch {
			return object{{"type", "string"}}
		}
		return object{{"type", "string"}, {"format", "date-time"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.of(t.Elem())
	case reflect.String:
		return object{{"type", "string"}}
	case reflect.Bool:
		return object{{"type", "boolean"}}
	case reflect.Int, reflect.Int64:
		return object{{"type", "integer"}}
	case reflect.Float64:
		return object{{"type", "number"}}
	case reflect.Slice:
		return object{{"type", "array"}, {"items", d.of(t.Elem())}}
	case reflect.Map:
		return object{{"type", "object"}}
	case reflect.Struct:
		return d.structure(t, d == exact)
	}
	panic("tools: no schema for Go type " + t.String())
}

// structure is the schema of a struct, closed or only named.
func (d detail) structure(t reflect.Type, closed bool) object {
	properties, required := d.fields(t)
	if closed {
		return closedObject(properties, required)
	}
	return object{{"type", "object"}, {"properties", properties}}
}

// brief says no more than object or list of objects.
func brief(t reflect.Type) object {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice {
		return object{{"type", "array"}, {"items", object{{"type", "object"}}}}
	}
	return object{{"type", "object"}}
}

// fields lists a struct's members as encoding/json writes them, embedded
// structs included.
func (d detail) fields(t reflect.Type) (properties object, required []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			p, r := d.fields(f.Type)
			properties, required = append(properties, p...), append(required, r...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		optional := slices.ContainsFunc(strings.Split(options, ","), func(o string) bool { return o == "omitempty" || o == "omitzero" })
		var s object
		if d == sketch && f.Tag.Get("schema") == "brief" {
			s = brief(f.Type)
		} else {
			s = d.of(f.Type)
		}
		if !optional {
			required = append(required, name)
			switch f.Type.Kind() {
			case reflect.Pointer, reflect.Slice, reflect.Map:
				s = object{{"anyOf", []object{s, {{"type", "null"}}}}}
			}
		}
		if doc := f.Tag.Get("doc"); doc != "" {
			s = append(s, member{"description", doc})
		}
		properties = append(properties, member{name, s})
	}
	return properties, required
}
