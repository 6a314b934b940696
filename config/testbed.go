package config

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// Testbed is one configuration of a testbed, complete and checked. It is read
// only once loaded and may be used from several goroutines.
type Testbed struct {
	Name          string // the file's name: "testbed.toml"
	Path          string // absolute; "" when embedded
	Shown         string // how messages name the file
	Namespace     string
	NamespaceFrom string // the file it stands in
	Agents        []Agent
	AgentsFrom    string
	Workflow      Workflow
	Parameters    map[string]any // [parameters]: overrides for every run
	Sections      []Section      // other sections in file order: overrides of the same sections of workflow files
}

// Workflow is what a testbed runs when asked to run without a name. In the
// file of a workflow itself Version, Description and Includes describe it.
type Workflow struct {
	Name     string
	Config   string
	Realtime bool

	Version     string
	Description string
	Includes    []string

	definition bool // the file defines this workflow: its sections are not overrides
}

// The workflow of a testbed that names none (contract 5.4).
const (
	defaultWorkflow = "stf_datataking"
	defaultConfig   = "fast_processing_default"
)

// aliases are names of workflows that are another workflow with a
// configuration of its own (design 4b.8).
var aliases = map[string]struct{ workflow, config string }{
	"fast_processing": {"stf_datataking", "fast_processing_default"},
}

// Load reads the configuration of that name: NAME, NAME.toml or
// NAME_default.toml, in the folder first. The name "" means what
// SWF_TESTBED_CONFIG says (a name, or a path when it holds a slash), else
// testbed.toml. A file without [testbed] namespace or without [agents] takes
// them from the folder's testbed.toml; agents may come from the embedded one.
//
// Errors are *swf.Error: invalid_argument for what is no name, unknown_config
// with a list of what there is, invalid_config or unknown_agent with file and
// line. There is no falling back to another file.
func Load(s Sources, name string) (*Testbed, error) {
	if name == "" {
		name = s.getenv("SWF_TESTBED_CONFIG")
		if strings.Contains(name, "/") {
			return LoadFile(s, name)
		}
	}
	if name == "" {
		name = testbedFile
	}
	d, err := s.find(name)
	if err != nil {
		return nil, err
	}
	return load(s, d)
}

// LoadFile reads the configuration at a path, as a user's own environment may
// name it; a relative path starts in the testbed folder. It is not for names
// that came from elsewhere: those go to Load.
func LoadFile(s Sources, path string) (*Testbed, error) {
	d, err := s.fromPath(path)
	if err != nil {
		return nil, err
	}
	return load(s, d)
}

func load(s Sources, d *document) (*Testbed, error) {
	if len(d.tables) == 0 {
		return nil, swf.E(swf.CodeInvalidConfig, d.shown+" configures no testbed: it has none of [testbed], [agents.NAME], [workflow]",
			"use one of: "+strings.Join(ListConfigs(s), ", "))
	}
	t := &Testbed{Name: d.name, Path: d.path, Shown: d.shown}
	source, _, err := d.str(secTestbed, "source")
	if err != nil {
		return nil, err
	}
	if source != "" {
		if swf.CheckName(swf.KindConfig, source) != nil {
			return nil, d.fail([]string{secTestbed, "source"}, "[testbed] source is no name of a configuration", "leave it out")
		}
		t.Name = source
	}
	if t.Workflow, err = readWorkflow(d, t.Name); err != nil {
		return nil, err
	}
	if err := t.readOwners(s, d); err != nil {
		return nil, err
	}
	for _, section := range d.sections {
		if section.Name == secParameters {
			t.Parameters = section.clone().Values
			continue
		}
		t.Sections = append(t.Sections, section.clone())
	}
	return t, nil
}

// readOwners sets namespace and agents, from d or else from testbed.toml.
func (t *Testbed) readOwners(s Sources, d *document) error {
	spaceDoc, agentsDoc := d, d
	base, baseErr := s.base(d)
	if _, own := d.tables[secTestbed]["namespace"]; !own && d.name != testbedFile {
		if baseErr != nil {
			return baseErr
		}
		spaceDoc = base
	}
	if _, own := d.tables[secAgents]; !own {
		if baseErr != nil {
			return baseErr
		}
		agentsDoc = base
	}
	var err error
	if t.Agents, err = readAgents(agentsDoc); err != nil {
		return err
	}
	t.AgentsFrom = agentsDoc.shown
	namespace, found, err := spaceDoc.str(secTestbed, "namespace")
	if err != nil {
		return err
	}
	if !found || namespace == "" {
		return missingNamespace(d, spaceDoc)
	}
	if swf.CheckName(swf.KindNamespace, namespace) != nil {
		return spaceDoc.fail([]string{secTestbed, "namespace"}, fmt.Sprintf("[testbed] namespace %q is no valid name", short(namespace)),
			"a namespace is made of letters, digits, . _ and -, at most 64")
	}
	t.Namespace, t.NamespaceFrom = namespace, spaceDoc.shown
	return nil
}

// base is the testbed.toml that lends what d lacks.
func (s Sources) base(d *document) (*document, error) {
	base, err := s.fromFolder(testbedFile)
	if errors.Is(err, fs.ErrNotExist) {
		base, err = s.fromEmbedded(testbedFile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &document{shown: testbedFile, name: testbedFile}, nil
	}
	return base, err
}

func missingNamespace(d, asked *document) error {
	message := d.shown + " has no [testbed] namespace"
	switch {
	case asked != d && asked.path == "":
		message += ", and there is no testbed.toml to take it from"
	case asked != d:
		message += ", and neither has " + asked.shown
	}
	return swf.E(swf.CodeInvalidConfig, message,
		`write [testbed] and below it namespace = "NAME" into workflows/testbed.toml; "testbed init" makes one`)
}

// readWorkflow reads [workflow] of the configuration called name.
func readWorkflow(d *document, name string) (Workflow, error) {
	w := Workflow{Name: defaultWorkflow, Realtime: true}
	fields := map[string]*string{"name": &w.Name, "config": &w.Config, "version": &w.Version, "description": &w.Description}
	for _, key := range sortedKeys(fields) {
		v, found, err := d.str(secWorkflow, key)
		if err != nil {
			return w, err
		}
		if found {
			*fields[key] = v
		}
	}
	if v, ok := d.tables[secWorkflow]["realtime"]; ok {
		on, isBool := v.(bool)
		if !isBool {
			return w, d.wrongType([]string{secWorkflow, "realtime"}, "true or false", v)
		}
		w.Realtime = on
	}
	var err error
	if w.Includes, err = readIncludes(d); err != nil {
		return w, err
	}
	w.definition = w.Config == "" && (w.Version != "" || w.Description != "" || len(w.Includes) > 0)
	return finishWorkflow(d, w, name)
}

// finishWorkflow checks the names and fills in what was left out.
func finishWorkflow(d *document, w Workflow, name string) (Workflow, error) {
	if swf.CheckName(swf.KindWorkflow, w.Name) != nil {
		return w, d.fail([]string{secWorkflow, "name"}, fmt.Sprintf("[workflow] name %q is no name of a workflow", short(w.Name)),
			"a workflow's name is made of small letters, digits and _")
	}
	if w.Config != "" && swf.CheckName(swf.KindConfig, w.Config) != nil {
		return w, d.fail([]string{secWorkflow, "config"}, fmt.Sprintf("[workflow] config %q is no name of a configuration", short(w.Config)),
			"name a file of workflows/, without its folder")
	}
	alias, isAlias := aliases[w.Name]
	if isAlias {
		w.Name = alias.workflow
	}
	switch {
	case w.Config != "":
	case w.definition:
		w.Config = strings.TrimSuffix(name, ".toml")
	case isAlias:
		w.Config = alias.config
	default:
		w.Config = defaultConfig
	}
	return w, nil
}

func readIncludes(d *document) ([]string, error) {
	v, ok := d.tables[secWorkflow]["includes"]
	if !ok {
		return nil, nil
	}
	at := []string{secWorkflow, "includes"}
	list, ok := v.([]any)
	if !ok {
		return nil, d.wrongType(at, "a list of file names", v)
	}
	var names []string
	for _, item := range list {
		name, ok := item.(string)
		if !ok {
			return nil, d.wrongType(at, "a list of file names", v)
		}
		if swf.CheckName(swf.KindConfig, name) != nil {
			return nil, d.fail(at, fmt.Sprintf("[workflow] includes %q, which is no name of a file", short(name)),
				"name a file of workflows/, without its folder")
		}
		if slices.Contains(names, name) {
			return nil, d.fail(at, fmt.Sprintf("[workflow] includes %s twice", name), "name it once")
		}
		names = append(names, name)
	}
	return names, nil
}

// EnabledPrograms lists what a start starts, the workflow runner first, then
// the programs of the enabled agents in file order.
func (t *Testbed) EnabledPrograms() []string {
	programs := []string{RunnerProgram}
	for _, a := range t.Agents {
		if a.Enabled {
			programs = append(programs, a.Program)
		}
	}
	return programs
}
