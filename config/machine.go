package config

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"

	"github.com/BurntSushi/toml"

	"github.com/epic-swf/testbed/swf"
)

// Machine is where the steps of a workflow stand.
type Machine struct{ doc *document }

// Shown is how messages name the file.
func (m *Machine) Shown() string { return m.doc.shown }

// Fail makes an invalid_config error that names the file, and the line of the
// key below [machine] where there is one.
func (m *Machine) Fail(message, hint string, key ...string) error {
	return m.doc.fail(append([]string{secSteps}, key...), message, hint)
}

// ReadMachine decodes the [machine] of a workflow into into, a pointer to a
// struct with toml tags. The workflow's own file is NAME_default.toml or
// NAME.toml; the [machine] is in it or in a file that it includes. The folder's
// files are asked first, and where none of them has a [machine], because they
// were written for the Python system, the embedded ones.
//
// It returns nil where there is no such workflow. Errors are *swf.Error:
// invalid_config with file and line, also for keys that into does not have.
func ReadMachine(s Sources, workflow string, into any) (*Machine, error) {
	if err := swf.CheckName(swf.KindWorkflow, workflow); err != nil {
		return nil, err
	}
	for _, look := range []func(string) (*document, error){s.fromFolder, s.fromEmbedded} {
		for _, file := range []string{workflow + "_default.toml", workflow + ".toml"} {
			d, err := look(file)
			if errors.Is(err, fs.ErrNotExist) || err == nil && d.tables[secWorkflow] == nil {
				continue
			}
			if err == nil {
				d, err = s.machineOf(d)
			}
			if err != nil {
				return nil, err
			}
			if d != nil {
				return &Machine{d}, decodeMachine(d, into)
			}
		}
	}
	return nil, nil
}

// machineOf returns the file that holds the steps of the workflow that d is
// the file of: d or one that it includes; nil when none does.
func (s Sources) machineOf(d *document) (*document, error) {
	if d.machine {
		return d, nil
	}
	includes, err := readIncludes(d)
	if err != nil {
		return nil, err
	}
	for _, name := range includes {
		for _, look := range []func(string) (*document, error){s.fromFolder, s.fromEmbedded} {
			included, err := look(name)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if err == nil && included.machine {
				return included, nil
			}
		}
	}
	return nil, nil
}

func decodeMachine(d *document, into any) error {
	var all struct {
		Machine toml.Primitive `toml:"machine"`
	}
	meta, err := toml.Decode(d.text, &all)
	if err != nil {
		return parseFailure(d.shown, err)
	}
	if err := meta.PrimitiveDecode(all.Machine, into); err != nil {
		return d.fail([]string{secSteps}, "[machine] "+short(err.Error()), "see daq_state_machine.toml for what each key is")
	}
	for _, key := range meta.Undecoded() {
		if key[0] == secSteps && len(key) > 1 {
			valid := keysAt(reflect.TypeOf(into), key[1:len(key)-1])
			return d.unknownKey(key, "["+toml.Key(key[:len(key)-1]).String()+"]", valid)
		}
	}
	return nil
}

// WorkflowNames lists the workflows that files of the folder and embedded ones
// define, sorted.
func WorkflowNames(s Sources) []string {
	var names []string
	for _, file := range ListConfigs(s) {
		d, err := s.find(file)
		if err != nil {
			continue
		}
		w, err := readWorkflow(d, d.name)
		if err != nil || !w.definition || slices.Contains(names, w.Name) {
			continue
		}
		names = append(names, w.Name)
	}
	slices.Sort(names)
	return names
}

// Definition reports whether the configuration of that name is the file of a
// workflow, and of which one.
func Definition(s Sources, name string) (workflow string, ok bool, err error) {
	d, err := s.find(name)
	if err != nil {
		return "", false, err
	}
	w, err := readWorkflow(d, d.name)
	if err != nil {
		return "", false, err
	}
	if !w.definition {
		return "", false, nil
	}
	if _, ok := d.tables[secWorkflow]["name"]; !ok {
		return "", false, d.fail([]string{secWorkflow}, "[workflow] has no name", fmt.Sprintf("add name = %q", defaultWorkflow))
	}
	return w.Name, true, nil
}
