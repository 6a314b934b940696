package workflows

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// broadcastCost is the simulated time that each broadcast takes, in seconds
// (contract 7.2).
const broadcastCost = 0.1

// step is one line of a state machine: enter a state, broadcast, then wait.
type step struct {
	state, substate string
	send            string            // msg_type of the broadcast; "" is none
	bare            bool              // the broadcast carries no state and substate
	fields          map[string]string // further fields of the broadcast
	wait            []string          // parameters, in seconds, waited for one after the other
}

// machine is a workflow as data: its steps, played in this order, with the
// middle repeated for each physics period and each STF.
type machine struct {
	opening []step
	start   step // the first period begins
	file    step // one STF
	gap     string
	standby []step // between two periods
	closing []step

	// Parameters that shape the middle.
	count    string // STFs in a period; where it is 0 or missing, length counts
	length   string // seconds of a period
	periods  string // 0 is for ever
	optional []string
}

// machines are the workflows there are.
var machines = map[string]machine{"stf_datataking": {
	opening: []step{
		{state: "no_beam", substate: "not_ready", wait: []string{"no_beam_not_ready_delay"}},
		{state: "beam", substate: "not_ready", send: swf.MsgRunImminent, wait: []string{"broadcast_delay", "beam_not_ready_delay"}},
		{state: "beam", substate: "ready", wait: []string{"beam_ready_delay"}},
	},
	start: step{state: "run", substate: "physics", send: swf.MsgStartRun, wait: []string{"broadcast_delay"}},
	file:  step{state: "run", substate: "physics", send: swf.MsgSTFGen, wait: []string{"stf_generation_time"}},
	gap:   "stf_interval",
	standby: []step{
		{
			state: "run", substate: "standby", send: swf.MsgPauseRun, wait: []string{"broadcast_delay", "standby_duration"},
			fields: map[string]string{"reason": "standby between physics periods"},
		},
		{state: "run", substate: "physics", send: swf.MsgResumeRun, wait: []string{"broadcast_delay"}},
	},
	closing: []step{
		{state: "beam", substate: "not_ready", send: swf.MsgEndRun, bare: true, wait: []string{"broadcast_delay", "beam_not_ready_end_delay"}},
	},
	count: "stf_count", length: "physics_period_duration", periods: "physics_period_count",
	optional: []string{"stf_count"},
}}

// Names returns the workflows that a Runner can play, sorted.
func Names() []string { return slices.Sorted(maps.Keys(machines)) }

// find returns the machine of a workflow.
func find(workflow string) (machine, error) {
	m, ok := machines[workflow]
	if !ok {
		return machine{}, swf.E(swf.CodeUnknownWorkflow, fmt.Sprintf("there is no workflow %q", workflow),
			"the workflows are: "+strings.Join(Names(), ", "))
	}
	return m, nil
}

// parameters lists what the machine needs to be told.
func (m machine) parameters() []string {
	names := map[string]bool{m.gap: true, m.count: true, m.length: true, m.periods: true}
	for _, s := range slices.Concat(m.opening, []step{m.start, m.file}, m.standby, m.closing) {
		for _, w := range s.wait {
			names[w] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// numbers reads the machine's parameters out of the merged values. Each must
// be a number that is not negative; counts must be whole.
func (m machine) numbers(values map[string]any) (map[string]float64, error) {
	out := make(map[string]float64)
	for _, name := range m.parameters() {
		v, ok := values[name]
		if !ok {
			if slices.Contains(m.optional, name) {
				continue
			}
			return nil, swf.E(swf.CodeInvalidConfig, fmt.Sprintf("the workflow's configuration lacks %s", name),
				"add it to the workflow file or include daq_state_machine.toml")
		}
		f, ok := number64(v)
		whole := name == m.count || name == m.periods
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
