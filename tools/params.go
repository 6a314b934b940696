package tools

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/epic-swf/testbed/swf"
)

// param is one argument of a tool, read from a field of its input struct:
//
//	Username string `json:"username" kind:"username" doc:"whose testbed"`
//
// kind names a closed pattern of swf, enum the only values of a string, min
// and max bound numbers, max also the length of a string, required is for
// arguments without which there is nothing to do. Fields are string, *bool,
// *int, *float64 or bool.
type param struct {
	name     string
	doc      string
	kind     swf.Kind
	enum     []string
	typ      string // JSON type
	min, max *float64
	required bool
	index    int
}

// params reads the arguments from an input struct's fields. Malformed tags
// are programming errors and panic; every tool's are read when a Set is made.
func params(in reflect.Type) []param {
	list := make([]param, 0, in.NumField())
	for i := range in.NumField() {
		f := in.Field(i)
		list = append(list, param{
			name:     f.Tag.Get("json"),
			doc:      f.Tag.Get("doc"),
			kind:     swf.Kind(f.Tag.Get("kind")),
			enum:     choices(f.Tag.Get("enum")),
			typ:      argumentType(f.Type),
			min:      bound(f.Tag.Get("min")),
			max:      bound(f.Tag.Get("max")),
			required: f.Tag.Get("required") == "true",
			index:    i,
		})
	}
	return list
}

func choices(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func argumentType(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int:
		return "integer"
	case reflect.Float64:
		return "number"
	}
	panic("tools: no JSON type for an argument of Go type " + t.String())
}

func bound(s string) *float64 {
	if s == "" {
		return nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic("tools: bad bound " + s)
	}
	return &v
}

// decode fills the input struct in from the arguments of a call. Everything
// that is not exactly right is an invalid_argument Error which says what
// would be; nothing is converted and nothing ignored.
func decode(tool string, list []param, args map[string]any, in reflect.Value) *swf.Error {
	for _, name := range sortedKeys(args) {
		if !slices.ContainsFunc(list, func(p param) bool { return p.name == name }) {
			return unknownArgument(tool, list, name)
		}
	}
	for _, p := range list {
		v, given := args[p.name]
		if !given {
			if p.required {
				return swf.E(swf.CodeInvalidArgument, fmt.Sprintf("%s needs the argument %s", tool, p.name), p.expects())
			}
			continue
		}
		if err := p.set(in.Field(p.index), v); err != nil {
			return err
		}
	}
	return nil
}

func unknownArgument(tool string, list []param, name string) *swf.Error {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = p.name
	}
	return swf.E(swf.CodeInvalidArgument, fmt.Sprintf("%s has no argument %s", tool, quote(name)),
		"its arguments are "+strings.Join(names, ", "))
}

// set checks one value and stores it.
func (p *param) set(field reflect.Value, v any) *swf.Error {
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	switch p.typ {
	case "string":
		s, ok := v.(string)
		if !ok {
			return p.wrong(v)
		}
		if s == "" && !p.required {
			return nil // models send empty strings for what they leave out
		}
		if (p.enum != nil && !slices.Contains(p.enum, s)) || (p.max != nil && utf8.RuneCountInString(s) > int(*p.max)) {
			return p.wrong(v)
		}
		if p.kind != "" {
			if err := swf.CheckName(p.kind, s); err != nil {
				return swf.E(swf.CodeInvalidArgument, fmt.Sprintf("%s %s is not a valid name", p.name, quote(s)), p.expects())
			}
		}
		field.SetString(s)
	case "boolean":
		b, ok := v.(bool)
		if !ok {
			return p.wrong(v)
		}
		field.SetBool(b)
	default:
		n, ok := v.(float64)
		if !ok || math.IsNaN(n) || math.IsInf(n, 0) || (p.typ == "integer" && n != math.Trunc(n)) ||
			(p.min != nil && n < *p.min) || (p.max != nil && n > *p.max) {
			return p.wrong(v)
		}
		if p.typ == "integer" {
			field.SetInt(int64(n))
		} else {
			field.SetFloat(n)
		}
	}
	return nil
}

func (p *param) wrong(v any) *swf.Error {
	return swf.E(swf.CodeInvalidArgument, fmt.Sprintf("%s cannot be %s", p.name, show(v)), p.expects())
}

// expects says what the argument must be.
func (p *param) expects() string {
	s := p.name + " is " + article(p.typ)
	if p.kind != "" {
		s += " that matches " + swf.Pattern(p.kind)
	}
	switch {
	case p.enum != nil:
		s = p.name + " is one of " + strings.Join(p.enum, ", ")
	case p.typ == "string" && p.max != nil:
		s += fmt.Sprintf(" of at most %s characters", number(*p.max))
	case p.min != nil && p.max != nil:
		s += fmt.Sprintf(" from %s to %s", number(*p.min), number(*p.max))
	}
	return s
}

func article(typ string) string {
	if typ == "integer" {
		return "an integer"
	}
	return "a " + typ
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// quote shows what a caller sent so that every character of it is seen, unless
// it looks like a secret in the wrong place: answers end in transcripts.
func quote(s string) string {
	if looksSecret(s) {
		return "<redacted>"
	}
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	return strconv.QuoteToASCII(s)
}

// show names a value of the wrong kind, shortly.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return quote(v)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []any:
		return "an array"
	default:
		return "an object"
	}
}
