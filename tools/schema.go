package tools

import (
	"bytes"
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

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
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
		if p.min != nil {
			s = append(s, member{"minimum", *p.min})
		}
		if p.max != nil {
			s = append(s, member{"maximum", *p.max})
		}
		properties = append(properties, member{p.name, s})
		if p.required {
			required = append(required, p.name)
		}
	}
	return closed(properties, required)
}

// outputSchema describes an answer by its Go type. Fields without omitempty
// are required; a pointer, slice or map without it may be null, which means
// that it is not known.
func outputSchema(t reflect.Type) json.RawMessage { return encode(typeSchema(t)) }

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

func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // schemas are built from Go types alone
	}
	return b
}

var enums = map[reflect.Type][]string{
	reflect.TypeFor[control.Outcome](): {string(control.Succeeded), string(control.Failed), string(control.Refused),
		string(control.Expired), string(control.Pending), string(Unknown)},
	reflect.TypeFor[swf.TestbedState](): {string(swf.TestbedStopped), string(swf.TestbedStarting), string(swf.TestbedRunning),
		string(swf.TestbedStopping), string(swf.TestbedPartial), string(swf.TestbedUnknown)},
}

func typeSchema(t reflect.Type) object {
	if values, ok := enums[t]; ok {
		return object{{"type", "string"}, {"enum", values}}
	}
	switch t {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[swf.Timestamp]():
		return object{{"type", "string"}, {"format", "date-time"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeSchema(t.Elem())
	case reflect.String:
		return object{{"type", "string"}}
	case reflect.Bool:
		return object{{"type", "boolean"}}
	case reflect.Int, reflect.Int64:
		return object{{"type", "integer"}}
	case reflect.Float64:
		return object{{"type", "number"}}
	case reflect.Slice:
		return object{{"type", "array"}, {"items", typeSchema(t.Elem())}}
	case reflect.Map:
		return object{{"type", "object"}}
	case reflect.Struct:
		properties, required := fields(t)
		return closedObject(properties, required)
	}
	panic("tools: no schema for Go type " + t.String())
}

// fields lists a struct's members as encoding/json writes them, embedded
// structs included.
func fields(t reflect.Type) (properties object, required []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			p, r := fields(f.Type)
			properties, required = append(properties, p...), append(required, r...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		optional := slices.ContainsFunc(strings.Split(options, ","), func(o string) bool { return o == "omitempty" || o == "omitzero" })
		s := typeSchema(f.Type)
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
