package config

import (
	"fmt"
	"testing"

	"github.com/epic-swf/testbed/swf"
)

// Names of agents and programs that another program would take for an option,
// a group, a command or a path are refused where they are written.
func TestAttack30Names(t *testing.T) {
	for _, name := range []string{"-c", "all", "group:*", "a b", "$(id)", "../../../tmp/evil", "data;reboot", "%(ENV_HOME)s", "a\\nb", "`id`", "-", ".", "data,processing"} {
		s := folder(t, map[string]string{
			"agent.toml":   spaced("n") + fmt.Sprintf("[agents.\"%s\"]\nenabled = true\n", name),
			"program.toml": spaced("n") + fmt.Sprintf("[agents.data]\nenabled = true\nprogram = \"%s\"\n", name),
		})
		for _, config := range []string{"agent", "program"} {
			bed, err := Load(s, config)
			if config == "program" && name == "all" && err == nil { // a name like any: what is started is looked up in the supervisord file
				continue
			}
			if e := swf.AsError(err); err == nil || e.Code == swf.CodeInternal || e.Hint == "" {
				t.Errorf("%s %q: %+v, %v", config, name, bed, err)
			}
		}
		for kind, value := range map[swf.Kind]string{swf.KindWorkflow: name, swf.KindProgram: name} {
			if err := swf.CheckName(kind, value); err == nil && name != "all" {
				t.Errorf("%s %q is taken", kind, value)
			}
		}
	}
}

// Values of a configuration are data: none becomes a command, a variable or a
// line of supervisord's file. "script" is checked and never run.
func TestAttack29ValuesAreNoCode(t *testing.T) {
	for _, line := range []string{"script = \"/tmp/x.sh\"", "script = \"$(id)\"", "command = \"/tmp/x.sh\"", "environment = \"LD_PRELOAD=/tmp/x.so\"",
		"env = {LD_PRELOAD = \"/tmp/x.so\"}", "program = \"%(ENV_SECRET)s\"", "program = \"x\\ncommand=/bin/sh\""} {
		s := folder(t, map[string]string{"x.toml": spaced("n") + "[agents.data]\nenabled = true\n" + line + "\n"})
		bed, err := Load(s, "x")
		if err != nil {
			continue // refused
		}
		text, err := bed.encode()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range bed.Agents {
			if a.Name == "data" && a.Program != "example-data-agent" {
				t.Errorf("%s: the program is %q", line, a.Program)
			}
		}
		t.Logf("%s: taken as data: %.60q", line, text)
	}
	for name, namespace := range map[string]string{"expansion": "%(ENV_SECRET)s", "newline": "a\\nb", "option": "-x", "quote": "a\\\"b"} {
		s := folder(t, map[string]string{"x.toml": spaced(namespace)})
		if _, err := Load(s, "x"); !swf.IsCode(err, swf.CodeInvalidConfig) {
			t.Errorf("namespace with %s: %v", name, err)
		}
	}
}
