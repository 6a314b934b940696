package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"

	"github.com/epic-swf/testbed/swf"
)

// WriteResolved writes the testbed as one file that stands alone: namespace,
// agents, workflow, parameters (design 4c.3). LoadFile reads it back as the
// same testbed, and Python agents read it as any testbed.toml. The file has
// mode 0600, its folder is made if needed, and it appears whole or not at all.
func (t *Testbed) WriteResolved(path string) error {
	text, err := t.encode()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = writeAtomic(path, text)
	}
	if err != nil {
		return swf.E(swf.CodeInternal, "the resolved configuration could not be written to "+path,
			"check the space and the permissions of "+filepath.Dir(path)).Because(err)
	}
	return nil
}

// encode writes the sections one after the other, because the order of a
// file's sections decides which value wins.
func (t *Testbed) encode() ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Resolved from %s, namespace from %s. Written at each start; do not edit.\n", t.Shown, t.NamespaceFrom)
	workflow := map[string]any{"name": t.Workflow.Name, "realtime": t.Workflow.Realtime}
	optional := map[string]string{"version": t.Workflow.Version, "description": t.Workflow.Description}
	if !t.Workflow.definition {
		optional["config"] = t.Workflow.Config
	}
	for key, v := range optional {
		if v != "" {
			workflow[key] = v
		}
	}
	if len(t.Workflow.Includes) > 0 {
		workflow["includes"] = t.Workflow.Includes
	}
	sections := []Section{
		{Name: secTestbed, Values: map[string]any{"namespace": t.Namespace, "source": t.Name}},
		{Name: secWorkflow, Values: workflow},
	}
	sections = append(sections, t.Sections...)
	if t.Parameters != nil {
		sections = append(sections, Section{Name: secParameters, Values: t.Parameters})
	}
	out.WriteString("\n[agents]\n")
	for _, a := range t.Agents {
		table := map[string]any{"enabled": a.Enabled, "program": a.Program}
		if a.Script != "" {
			table["script"] = a.Script
		}
		if err := writeTable(&out, toml.Key{secAgents, a.Name}, sortedKeys(table), table); err != nil {
			return nil, err
		}
	}
	for _, s := range sections {
		order := s.Order
		if order == nil {
			order = sortedKeys(s.Values)
		}
		if err := writeTable(&out, toml.Key{s.Name}, order, s.Values); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// writeTable writes a header and the keys in the given order.
func writeTable(out *bytes.Buffer, name toml.Key, order []string, values map[string]any) error {
	fmt.Fprintf(out, "\n[%s]\n", name)
	for _, key := range order {
		if err := toml.NewEncoder(out).Encode(map[string]any{key: values[key]}); err != nil {
			return err
		}
	}
	return nil
}
