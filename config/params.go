package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/epic-swf/testbed/swf"
)

// reserved are names of the run command's own fields. The Python server puts
// namespace among the parameters, and the others made its runner fail.
var reserved = []string{"realtime", "duration", "workflow_name", "config_name", "namespace"}

// machineKeys are parameters that the DAQ state machine knows even where no
// file gives them a value: a run by duration may still be given a stf_count.
var machineKeys = map[string]any{
	"stf_count": int64(0), "physics_period_count": int64(0), "physics_period_duration": 0.0, "stf_interval": 0.0,
}

// limits are the ranges of the DAQ state machine's parameters; times are in
// seconds.
var limits = map[string]struct{ min, max float64 }{
	"stf_count": {0, 100_000}, "physics_period_count": {0, 100_000}, "physics_period_duration": {0, maxDuration},
	"stf_interval": {0, maxDuration}, "stf_generation_time": {0, maxDuration}, "broadcast_delay": {0, maxDuration},
	"no_beam_not_ready_delay": {0, maxDuration}, "beam_not_ready_delay": {0, maxDuration}, "beam_ready_delay": {0, maxDuration},
	"standby_duration": {0, maxDuration}, "beam_not_ready_end_delay": {0, maxDuration},
}

// applyTestbed merges the sections of a testbed, then its [parameters]. A
// testbed that is the file of a workflow overrides nothing: its sections
// belong to that workflow.
func (m *merged) applyTestbed(t *Testbed) error {
	if t.Workflow.definition {
		return nil
	}
	for _, section := range t.Sections {
		if m.sections[section.Name] == nil {
			m.addSection(section)
			continue
		}
		if err := m.override(t.Shown, section); err != nil {
			return err
		}
	}
	for _, key := range sortedKeys(t.Parameters) {
		if err := m.set(key, t.Parameters[key]); err != nil {
			e := swf.AsError(err)
			return swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%s: [parameters] %s", t.Shown, e.Message), e.Hint)
		}
	}
	return nil
}

// override merges one section of a testbed into the workflow's. A new key is
// one that an agent reads, unless it looks like a slip of the pen.
func (m *merged) override(shown string, section Section) error {
	have := m.sections[section.Name]
	fail := func(key, what, hint string) error {
		return swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%s: [%s] %s %s", shown, section.Name, short(key), what), hint)
	}
	for _, key := range section.Order {
		old, known := have[key]
		if near := swf.Nearest(key, sortedKeys(have)); !known && len(key) > 4 && near != "" && swf.Distance(key, near, 3) <= 2 {
			return fail(key, "is no parameter of "+m.shown, suggest(key, "["+section.Name+"] has", sortedKeys(have)))
		}
		v, err := fit(section.Values[key], old)
		if err != nil {
			return fail(key, err.Error(), "write it as "+m.shown+" does")
		}
		if bad := outOfRange(key, v); bad != "" {
			return swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%s: [%s] %s", shown, section.Name, bad), rangeHint(key))
		}
		have[key] = cloneValue(v)
	}
	return nil
}

// takeReserved returns the request's parameters without the reserved ones,
// and settles realtime and duration.
func (r *Run) takeReserved(req RunRequest) (map[string]any, error) {
	params := maps.Clone(req.Params)
	if req.Realtime != nil {
		r.Realtime = *req.Realtime
	} else if v, ok := params["realtime"]; ok && v != nil {
		on, isBool := v.(bool)
		if !isBool {
			return nil, swf.E(swf.CodeInvalidArgument, fmt.Sprintf("parameter realtime is %s", typeName(v)), "realtime is true or false")
		}
		r.Realtime = on
	}
	if v, ok := params["duration"]; ok && v != nil && r.Duration == 0 {
		seconds, err := fit(v, 0.0)
		if err != nil {
			return nil, swf.E(swf.CodeInvalidArgument, "parameter duration "+err.Error(), "duration is a number of seconds")
		}
		r.Duration = seconds.(float64)
	}
	if !(r.Duration >= 0 && r.Duration <= maxDuration) {
		return nil, swf.E(swf.CodeInvalidArgument, fmt.Sprintf("duration %g is out of range", r.Duration),
			fmt.Sprintf("duration is 0 (to the end) to %d seconds", maxDuration))
	}
	for _, name := range reserved {
		delete(params, name)
	}
	return params, nil
}

// applyParams sets the request's parameters. A null counts as not given, as
// Python senders write it.
func (m *merged) applyParams(params map[string]any) error {
	if len(params) > maxKeys {
		return swf.E(swf.CodeInvalidArgument, "too many parameters", "give only those that differ from the configuration")
	}
	for _, key := range sortedKeys(params) {
		if params[key] == nil {
			continue
		}
		v, err := normal(params[key])
		if err == nil {
			err = checkValue(v, 0)
		}
		if err != nil {
			return swf.E(swf.CodeInvalidArgument, fmt.Sprintf("parameter %s %v", short(key), err),
				"a parameter is a number, a text, true or false, or a list of those")
		}
		if err := m.set(key, v); err != nil {
			e := swf.AsError(err)
			return swf.E(swf.CodeInvalidArgument, "parameter "+e.Message, e.Hint)
		}
	}
	return nil
}

// set replaces a parameter in every section that has it.
func (m *merged) set(key string, v any) error {
	if bad := outOfRange(key, v); bad != "" {
		return swf.E(swf.CodeInvalidArgument, bad, rangeHint(key))
	}
	found := false
	for _, name := range m.order {
		section := m.sections[name]
		old, ok := section[key]
		if !ok {
			continue
		}
		fitted, err := fit(v, old)
		if err != nil {
			return swf.E(swf.CodeInvalidArgument, fmt.Sprintf("%s %v", short(key), err), "give it the type it has in "+m.shown)
		}
		section[key], found = cloneValue(fitted), true
	}
	if found {
		return nil
	}
	if zero, ok := machineKeys[key]; ok && m.sections[secMachine] != nil {
		fitted, err := fit(v, zero)
		if err != nil {
			return swf.E(swf.CodeInvalidArgument, fmt.Sprintf("%s %v", key, err), rangeHint(key))
		}
		m.sections[secMachine][key] = fitted
		return nil
	}
	known := m.known()
	return swf.E(swf.CodeInvalidArgument, fmt.Sprintf("%s is no parameter of %s", short(key), m.shown), suggest(key, "it has", known))
}

// known lists every parameter that may be set.
func (m *merged) known() []string {
	var names []string
	for _, section := range m.sections {
		names = append(names, sortedKeys(section)...)
	}
	if m.sections[secMachine] != nil {
		names = append(names, sortedKeys(machineKeys)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// normal turns numbers as JSON decoders give them into those of this package.
func normal(v any) (any, error) {
	switch v := v.(type) {
	case int:
		return int64(v), nil
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i, nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("is not a finite number")
		}
		return f, nil
	case []string:
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = s
		}
		return list, nil
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			n, err := normal(item)
			if err != nil {
				return nil, err
			}
			list[i] = n
		}
		return list, nil
	}
	return v, nil
}

// fit gives v the type of old where that loses nothing: a JSON 5.0 for a whole
// number, a TOML 2 for a number. With no old value anything fits.
func fit(v, old any) (any, error) {
	v, err := normal(v)
	if err != nil {
		return nil, err
	}
	switch old.(type) {
	case nil:
		return v, nil
	case int64:
		switch n := v.(type) {
		case int64:
			return n, nil
		case float64:
			if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
				return int64(n), nil
			}
		}
	case float64:
		switch n := v.(type) {
		case int64:
			return float64(n), nil
		case float64:
			return n, nil
		}
	}
	if typeName(v) == typeName(old) && typeName(v) != typeName(int64(0)) {
		return v, nil
	}
	return nil, fmt.Errorf("is %s, not %s", typeName(v), typeName(old))
}

// checkRanges checks the parameters of the state machine after the merge.
func checkRanges(r *Run) error {
	for _, key := range sortedKeys(limits) {
		v, ok := r.Values[key]
		if !ok {
			continue
		}
		if bad := outOfRange(key, v); bad != "" {
			return swf.E(swf.CodeInvalidConfig, r.ConfigName+": "+bad, rangeHint(key))
		}
	}
	return nil
}

func outOfRange(key string, v any) string {
	limit, ok := limits[key]
	if !ok {
		return ""
	}
	f, err := fit(v, 0.0)
	if err != nil {
		return fmt.Sprintf("%s %v", key, err)
	}
	if n := f.(float64); !(n >= limit.min && n <= limit.max) {
		return fmt.Sprintf("%s = %s is out of range", key, strconv.FormatFloat(n, 'f', -1, 64))
	}
	return ""
}

func rangeHint(key string) string {
	return fmt.Sprintf("%s is a number from %g to %g", key, limits[key].min, limits[key].max)
}
