package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/BurntSushi/toml"

	"github.com/epic-swf/testbed/swf"
)

// Names of the sections that are closed: they take the keys listed for them
// and no others.
const (
	secTestbed    = "testbed"
	secAgents     = "agents"
	secWorkflow   = "workflow"
	secParameters = "parameters"
	secSteps      = "machine" // the steps of a workflow, see ReadMachine
)

// document is one parsed file, checked as far as that is possible without
// knowing what it is used for.
type document struct {
	shown    string // how messages name it: workflows/testbed.toml
	path     string // absolute; "" when embedded
	name     string // its file name
	text     string
	lines    lineIndex
	sections []Section // parameter sections in file order
	tables   map[string]map[string]any
	order    map[string][]string // keys of the closed sections in file order
	machine  bool                // it has a [machine]
}

// Section is a named table of parameters. Order holds the keys as the file
// has them, Values their values: string, bool, int64, float64 or lists of
// those.
type Section struct {
	Name   string
	Order  []string
	Values map[string]any
}

func (s Section) clone() Section {
	values := make(map[string]any, len(s.Values))
	for k, v := range s.Values {
		values[k] = cloneValue(v)
	}
	return Section{s.Name, slices.Clone(s.Order), values}
}

func cloneValue(v any) any {
	if list, ok := v.([]any); ok {
		out := make([]any, len(list))
		for i := range list {
			out[i] = cloneValue(list[i])
		}
		return out
	}
	return v
}

// parse reads the text of a file. shown is how errors name the file.
func parse(shown, path, name string, text []byte) (*document, error) {
	d := &document{shown: shown, path: path, name: name, text: string(text),
		tables: map[string]map[string]any{}, order: map[string][]string{}}
	var bad *scanError
	if d.lines, bad = scan(d.text); bad != nil {
		return nil, swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%s:%d: %s", shown, bad.line, bad.text),
			"correct that line; the file is TOML")
	}
	var all map[string]any
	meta, err := toml.Decode(d.text, &all)
	if err != nil {
		return nil, parseFailure(shown, err)
	}
	var sections []string
	for _, key := range meta.Keys() {
		if !slices.Contains(sections, key[0]) {
			sections = append(sections, key[0])
		}
		if len(key) >= 2 && !slices.Contains(d.order[key[0]], key[1]) {
			d.order[key[0]] = append(d.order[key[0]], key[1])
		}
	}
	for _, name := range sections {
		if err := d.addSection(name, all[name]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func parseFailure(shown string, err error) error {
	var pe toml.ParseError
	if errors.As(err, &pe) {
		return swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%s:%d: %s", shown, pe.Position.Line, short(pe.Message)),
			"correct that line; the file is TOML")
	}
	return swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%s: %s", shown, short(err.Error())), "correct the file; it is TOML")
}

// closed holds the sections with fixed keys, and what they take.
var closed = map[string][]string{
	secTestbed:  {"namespace", "source"},
	secWorkflow: {"name", "config", "realtime", "version", "description", "includes"},
}

// agentKeys are the keys of [agents.NAME].
var agentKeys = []string{"enabled", "script", "program"}

func (d *document) addSection(name string, value any) error {
	table, ok := value.(map[string]any)
	if !ok {
		known := []string{"[testbed]", "[agents.NAME]", "[workflow]", "[parameters]"}
		return d.fail([]string{name}, fmt.Sprintf("%q stands outside of any section", short(name)),
			suggest("["+name+"]", "write it below one of the sections", known))
	}
	switch name {
	case secAgents:
		d.tables[name] = table
		return nil
	case secSteps:
		d.machine = true
		return nil
	case secTestbed, secWorkflow:
		d.tables[name] = table
		for _, key := range d.order[name] {
			if !slices.Contains(closed[name], key) {
				return d.unknownKey([]string{name, key}, "["+name+"]", closed[name])
			}
		}
		return nil
	}
	special := []string{secTestbed, secAgents, secWorkflow, secParameters}
	for _, s := range special {
		if name != s && swf.Distance(name, s, 2) <= 1 { // [events] is no slip for [agents]
			return d.fail([]string{name}, fmt.Sprintf("unknown section [%s]", short(name)), suggest(name, "special sections", special))
		}
	}
	section := Section{Name: name, Order: d.order[name], Values: table}
	for _, key := range section.Order {
		v, err := d.parameter(name, key, table[key])
		if err != nil {
			return err
		}
		table[key] = v
	}
	d.sections = append(d.sections, section)
	return nil
}

// parameter checks one value of a parameter section.
func (d *document) parameter(section, key string, v any) (any, error) {
	err := checkValue(v, 0)
	if key == "" || len(key) > 128 {
		err = errors.New("has no name of at most 128 bytes")
	}
	if err != nil {
		return nil, d.fail([]string{section, key}, fmt.Sprintf("[%s] %s %s", short(section), short(key), err),
			"a parameter is a number, a text, true or false, or a list of those")
	}
	return v, nil
}

// checkValue refuses what is no parameter value: tables, dates, NaN and
// infinities, and lists of lists.
func checkValue(v any, depth int) error {
	switch v := v.(type) {
	case string, bool, int64:
		return nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.New("is not a finite number")
		}
		return nil
	case []any:
		if depth > 0 {
			return errors.New("is a list of lists")
		}
		for _, item := range v {
			if err := checkValue(item, depth+1); err != nil {
				return err
			}
		}
		return nil
	case map[string]any, []map[string]any:
		return errors.New("is a table")
	}
	return errors.New("is a date")
}

// place is file:line of a key, or of the nearest table above it.
func (d *document) place(key []string) string {
	for n := len(key); n > 0; n-- {
		if line, ok := d.lines[dotted(key[:n]...)]; ok {
			return fmt.Sprintf("%s:%d", d.shown, line)
		}
	}
	return d.shown
}

func (d *document) fail(key []string, message, hint string) error {
	return swf.E(swf.CodeInvalidConfig, d.place(key)+": "+message, hint)
}

func (d *document) unknownKey(key []string, section string, valid []string) error {
	last := key[len(key)-1]
	return d.fail(key, fmt.Sprintf("%s has no key %q", section, short(last)), suggest(last, section+" takes", valid))
}

// str reads an optional text of a closed section.
func (d *document) str(section, key string) (string, bool, error) {
	v, ok := d.tables[section][key]
	if !ok {
		return "", false, nil
	}
	s, ok := v.(string)
	if !ok {
		return "", true, d.wrongType([]string{section, key}, "a text in quotes", v)
	}
	return s, true, nil
}

func (d *document) wrongType(key []string, want string, v any) error {
	name := key[len(key)-1]
	where := "[" + key[0] + "]"
	if len(key) == 3 {
		where = "[" + key[0] + "." + short(key[1]) + "]"
	}
	return d.fail(key, fmt.Sprintf("%s %s is %s, not %s", where, name, typeName(v), want),
		fmt.Sprintf("write %s = … with %s", name, want))
}

// typeName says in a user's words what a value is.
func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a text"
	case bool:
		return "true or false"
	case int64, int:
		return "a whole number"
	case float64:
		return "a number"
	case []any:
		return "a list"
	case map[string]any, []map[string]any:
		return "a table"
	case nil:
		return "null"
	}
	return "a date"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
