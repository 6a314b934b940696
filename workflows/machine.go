package workflows

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
)

// broadcastCost is the simulated time that each broadcast takes, in seconds
// (contract 7.2).
const broadcastCost = 0.1

// step is one line of a state machine: enter a state, make and write what is to
// be on disk, broadcast, then wait. Texts in it may hold {names}, see names.go.
type step struct {
	State    string            `toml:"state"`
	Substate string            `toml:"substate"`
	Make     string            `toml:"make"`   // a folder
	Write    string            `toml:"write"`  // a file that gets the broadcast, before it is sent
	Send     string            `toml:"send"`   // msg_type of the broadcast; "" is none
	Bare     bool              `toml:"bare"`   // the broadcast carries no state and substate
	Fields   map[string]string `toml:"fields"` // further fields of the broadcast
	Wait     []string          `toml:"wait"`   // parameters, in seconds, waited for one after the other
}

// machine is a workflow as data, the [machine] of its file: its steps, with the
// middle repeated for each physics period and each STF.
type machine struct {
	Opening []step `toml:"opening"`
	Begin   []step `toml:"begin"`   // the first period begins
	Each    []step `toml:"each"`    // one STF
	Standby []step `toml:"standby"` // between two periods
	Closing []step `toml:"closing"`

	// Parameters that shape the middle.
	Count    string   `toml:"count"`   // STFs in a period; where it is 0 or missing, length counts
	Length   string   `toml:"length"`  // seconds of a period
	Periods  string   `toml:"periods"` // 0 is for ever; not named: one
	Gap      string   `toml:"gap"`     // seconds between two STFs
	Optional []string `toml:"optional"`

	Texts map[string]text `toml:"texts"` // names for texts, beside those that every machine has
}

// phases are the parts of a machine, by their names in the file.
func (m *machine) phases() []struct {
	name  string
	steps []step
} {
	return []struct {
		name  string
		steps []step
	}{{"opening", m.Opening}, {"begin", m.Begin}, {"each", m.Each}, {"standby", m.Standby}, {"closing", m.Closing}}
}

// Names returns the workflows that there are in the sources, sorted.
func Names(s config.Sources) []string {
	return slices.DeleteFunc(config.WorkflowNames(s), func(name string) bool {
		file, err := config.ReadMachine(s, name, &machine{})
		return file == nil && err == nil
	})
}

// find reads and checks the machine of a workflow.
func find(s config.Sources, workflow string) (*machine, error) {
	m := &machine{}
	file, err := config.ReadMachine(s, workflow, m)
	if err != nil {
		return nil, err
	}
	if file == nil {
		return nil, swf.E(swf.CodeUnknownWorkflow, fmt.Sprintf("there is no workflow %q", workflow),
			"the workflows are: "+strings.Join(Names(s), ", "))
	}
	return m, m.check(file)
}

// parameters lists what the machine needs to be told in numbers.
func (m *machine) parameters() []string {
	names := []string{m.Gap, m.Count, m.Length, m.Periods}
	for _, phase := range m.phases() {
		for _, s := range phase.steps {
			names = append(names, s.Wait...)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" })
}

// numbers reads the machine's parameters out of the merged values. Each must
// be a number that is not negative; counts must be whole.
func (m *machine) numbers(values map[string]any) (map[string]float64, error) {
	out := make(map[string]float64)
	for _, name := range m.parameters() {
		v, ok := values[name]
		if !ok {
			if slices.Contains(m.Optional, name) {
				continue
			}
			return nil, swf.E(swf.CodeInvalidConfig, fmt.Sprintf("the workflow's configuration lacks %s", name),
				"add it to the workflow file or include daq_state_machine.toml")
		}
		f, ok := number64(v)
		whole := name == m.Count || name == m.Periods
		if !ok || !(f >= 0 && f <= 1e9) || whole && f != math.Trunc(f) {
			kind := "number"
			if whole {
				kind = "whole number"
			}
			return nil, swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%s = %v is not a %s from 0 to 10^9", name, v, kind),
				"correct it in the workflow file or in the parameters given")
		}
		out[name] = f
	}
	if m.Periods == "" {
		out[""] = 1
	}
	return out, nil
}

// number64 reads a number as TOML and JSON give it.
func number64(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, true
	case int64:
		return float64(n), true
	case int:
		return float64(n), true
	}
	return 0, false
}
