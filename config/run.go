package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// RunRequest is what a caller asks to run. Empty fields mean what the testbed
// says: its [workflow], else the defaults of contract 5.4.
type RunRequest struct {
	Workflow string
	Config   string
	Realtime *bool
	Duration float64 // simulated seconds; 0 runs to the end
	Params   map[string]any
}

// Run is one workflow run with every parameter resolved. It shares no memory
// with the testbed or the request, so nothing leaks into a later run.
type Run struct {
	Workflow    string
	ConfigName  string // the file's name
	Version     string
	Description string
	Namespace   string
	Realtime    bool
	Duration    float64

	// Sections are the merged parameter sections, Order their order.
	Sections map[string]map[string]any
	Order    []string
	// Values are the sections flattened: daq_state_machine first, then the
	// others in Order; a later one wins.
	Values map[string]any
	// Definition is the text of the workflow's file and of its includes.
	Definition string

	agents []Agent
}

// secMachine is the section that all others win over.
const secMachine = "daq_state_machine"

// notParameters are sections that Values leaves out (contract 5.3).
var notParameters = []string{secMachine, "source", "git_version"}

// maxDuration is the longest run in seconds.
const maxDuration = 86400

// ResolveRun finds the workflow file and merges, in this order: the file, the
// sections of its includes that are not there yet, the testbed's own sections
// key by key, the testbed's [parameters], the request's parameters. The last
// two replace a key wherever it occurs; one that occurs nowhere is an error.
// The parameters realtime and duration count where the request leaves them
// open; workflow_name, config_name and namespace are taken out.
//
// Errors are *swf.Error: invalid_argument for the request, unknown_config,
// invalid_config for a file.
func ResolveRun(s Sources, t *Testbed, req RunRequest) (*Run, error) {
	workflow, configName, err := chooseWorkflow(t, req)
	if err != nil {
		return nil, err
	}
	main, err := s.find(configName)
	if err != nil {
		return nil, err
	}
	described, err := readWorkflow(main, main.name)
	if err != nil {
		return nil, err
	}
	r := &Run{Workflow: workflow, ConfigName: main.name, Version: described.Version, Description: described.Description,
		Namespace: t.Namespace, Realtime: t.Workflow.Realtime, Duration: req.Duration, agents: slices.Clone(t.Agents)}
	if r.Version == "" {
		r.Version = "1.0"
	}
	m, err := mergeFiles(s, main, described.Includes)
	if err != nil {
		return nil, err
	}
	if err := m.applyTestbed(t); err != nil {
		return nil, err
	}
	params, err := r.takeReserved(req)
	if err != nil {
		return nil, err
	}
	if err := m.applyParams(params); err != nil {
		return nil, err
	}
	r.Sections, r.Order, r.Definition = m.sections, m.order, m.text
	r.Values = m.flatten()
	return r, checkRanges(r)
}

// chooseWorkflow names the workflow and its configuration.
func chooseWorkflow(t *Testbed, req RunRequest) (workflow, configName string, err error) {
	workflow, configName = req.Workflow, req.Config
	if workflow == "" {
		workflow = t.Workflow.Name
	}
	if err := swf.CheckName(swf.KindWorkflow, workflow); err != nil {
		return "", "", err
	}
	fallback := workflow + "_default"
	if alias, ok := aliases[workflow]; ok {
		workflow, fallback = alias.workflow, alias.config
	} else if workflow == t.Workflow.Name {
		fallback = t.Workflow.Config
	}
	if configName == "" {
		configName = fallback
	}
	return workflow, configName, nil
}

// merged is the state of a merge.
type merged struct {
	shown    string
	order    []string
	sections map[string]map[string]any
	text     string
}

// mergeFiles reads the main file and adds what its includes have beyond it:
// whole sections, and the first include that has one wins.
func mergeFiles(s Sources, main *document, includes []string) (*merged, error) {
	m := &merged{shown: main.shown, sections: map[string]map[string]any{}, text: main.text}
	for _, section := range main.sections {
		m.addSection(section)
	}
	for _, name := range includes {
		d, err := s.find(name)
		if swf.IsCode(err, swf.CodeUnknownConfig) {
			return nil, main.fail([]string{secWorkflow, "includes"}, fmt.Sprintf("[workflow] includes %s, which is not there", name),
				"put it into workflows/, or take it out of the list")
		}
		if err != nil {
			return nil, err
		}
		if _, nested := d.tables[secWorkflow]["includes"]; nested {
			return nil, d.fail([]string{secWorkflow, "includes"}, "an included file includes others, which is not supported",
				fmt.Sprintf("list all of them in %s", main.shown))
		}
		for _, section := range d.sections {
			if m.sections[section.Name] == nil {
				m.addSection(section)
			}
		}
		m.text += fmt.Sprintf("\n# included: %s\n%s", d.name, d.text)
	}
	if len(m.sections) == 0 {
		return nil, swf.E(swf.CodeInvalidConfig, main.shown+" defines no workflow: it has no section of parameters",
			"use one of: "+strings.Join(ListConfigs(s), ", "))
	}
	return m, nil
}

func (m *merged) addSection(section Section) {
	c := section.clone()
	m.order = append(m.order, c.Name)
	m.sections[c.Name] = c.Values
}

// flatten makes one table of all sections.
func (m *merged) flatten() map[string]any {
	values := map[string]any{}
	put := func(section string) {
		for k, v := range m.sections[section] {
			values[k] = cloneValue(v)
		}
	}
	put(secMachine)
	for _, section := range m.order {
		if !slices.Contains(notParameters, section) {
			put(section)
		}
	}
	return values
}

// ParameterValues is what the monitor records with definition and execution
// (contract 1.4): workflow, testbed, agents and every parameter section.
func (r *Run) ParameterValues() map[string]any {
	agents := map[string]any{}
	for _, a := range r.agents {
		agents[a.Name] = map[string]any{"enabled": a.Enabled}
	}
	values := map[string]any{
		secWorkflow: map[string]any{"name": r.Workflow, "version": r.Version, "description": r.Description,
			"config": strings.TrimSuffix(r.ConfigName, ".toml"), "realtime": r.Realtime},
		secTestbed: map[string]any{"namespace": r.Namespace},
		secAgents:  agents,
	}
	for name, section := range r.Sections {
		values[name] = maps.Clone(section)
	}
	return values
}

// JSON encodes ParameterValues.
func (r *Run) JSON() (json.RawMessage, error) { return json.Marshal(r.ParameterValues()) }
