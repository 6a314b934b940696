package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/swf"
)

type steps struct {
	Name string `toml:"name"`
	Step []struct {
		State string `toml:"state"`
	} `toml:"step"`
}

func TestReadMachine(t *testing.T) {
	const definition = "[workflow]\nname = \"mine\"\nversion = \"1\"\nincludes = [\"part.toml\"]\n[mine]\na = 1\n"
	const table = "[machine]\nname = \"in %s\"\n[[machine.step]]\nstate = \"s\"\n"
	in := func(where string) string { return strings.ReplaceAll(table, "%s", where) }
	for _, c := range []struct {
		name, workflow string
		files          map[string]string
		want           string // the machine's name; "" is none
		err            string
	}{
		{"in the workflow's file", "mine", map[string]string{"mine_default.toml": definition + in("main"), "part.toml": in("part")}, "in main", ""},
		{"in an include", "mine", map[string]string{"mine.toml": definition, "part.toml": in("part")}, "in part", ""},
		{"nowhere", "mine", map[string]string{"mine.toml": definition, "part.toml": "[x]\na = 1\n"}, "", ""},
		{"no such workflow", "other", nil, "", ""},
		{"a file of steps is no workflow", "part", map[string]string{"part.toml": in("part")}, "", ""},
		{"unknown key", "mine", map[string]string{"mine.toml": definition + in("main") + "stat = \"x\"\n"}, "",
			`workflows/mine.toml:11: [machine.step] has no key "stat" (did you mean "state"? [machine.step] takes: state)`},
		{"wrong type", "mine", map[string]string{"mine.toml": definition + "[machine]\nname = 5\n"}, "", "workflows/mine.toml:7: [machine]"},
		{"no name", "../mine", nil, "", "is not a valid name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got steps
			m, err := ReadMachine(folder(t, c.files), c.workflow, &got)
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error()+" ("+swf.AsError(err).Hint+")", c.err) {
					t.Errorf("got %v (%s)", err, swf.AsError(err).Hint)
				}
			case err != nil:
				t.Fatal(err)
			case (m != nil) != (c.want != "") || got.Name != c.want:
				t.Errorf("got %+v, %v", got, m)
			}
		})
	}
}

// A checkout of the Python system has the stock files without their steps.
func TestMachineOfAPythonCheckout(t *testing.T) {
	s := folder(t, map[string]string{
		"stf_datataking_default.toml": "[workflow]\nname = \"stf_datataking\"\nversion = \"1.0\"\nincludes = [\"daq_state_machine.toml\"]\n[stf_datataking]\nstf_count = 5\n",
		"daq_state_machine.toml":      "[daq_state_machine]\nbroadcast_delay = 1.0\n",
	})
	var anything struct {
		Count string         `toml:"count"`
		Rest  map[string]any `toml:"-"`
	}
	m, err := ReadMachine(s, "stf_datataking", &anything)
	if m == nil || m.Shown() != "built-in daq_state_machine.toml" || anything.Count != "stf_count" {
		t.Errorf("%v, %v", m, err)
	}
	if names := WorkflowNames(s); !slices.Contains(names, "prompt_processing") || !slices.Contains(names, "calibration") || slices.Contains(names, "fast_processing") {
		t.Errorf("workflows %v", names)
	}
}
