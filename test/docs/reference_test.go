package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
)

// TestReference holds docs/tools.md and docs/config.md against the code.
func TestReference(t *testing.T) {
	for name, make := range map[string]func() (string, error){"tools.md": toolsReference, "config.md": configReference} {
		text, err := make()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(root, "docs", name)
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(text, string(have)); d != "" {
			t.Errorf("docs/%s is old: make docs (-want +have)\n%s", name, d)
		}
	}
}

// tryConfig loads a testbed.toml.
func tryConfig(t *testing.T, text string) error {
	t.Helper()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "workflows"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "workflows", "testbed.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(config.Sources{Dir: folder}, "testbed.toml")
	return err
}

const namespace = "[testbed]\nnamespace = \"x\"\n"

// TestKeysAreAll: config takes each documented key with its example, and the
// list that it gives for an unknown one has no other.
func TestKeysAreAll(t *testing.T) {
	known := map[string][]string{}
	for _, k := range testbedKeys {
		section := strings.Replace(k.section, "NAME", "data", 1)
		known[section] = append(known[section], k.name)
		text := fmt.Sprintf("[%s]\n%s = %s\n", section, k.name, k.example)
		if section != "testbed" {
			text += namespace
		} else if k.name != "namespace" {
			text += "namespace = \"x\"\n"
		}
		if err := tryConfig(t, text); err != nil && !strings.Contains(err.Error(), "workflow") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for section, want := range known {
		text := fmt.Sprintf("[%s]\nqqqqqqqqqqqqqqqq = 1\n", section)
		if section != "testbed" {
			text += namespace
		}
		err := tryConfig(t, text)
		have := listedIn(err, "takes: ")
		slices.Sort(want)
		slices.Sort(have)
		if d := cmp.Diff(want, have); d != "" {
			t.Errorf("[%s] (-documented +taken)\n%s", section, d)
		}
	}
	var names []string
	for _, k := range agentNames {
		names = append(names, k.name)
	}
	slices.Sort(names)
	have := listedIn(tryConfig(t, namespace+"[agents.qqqqqqqqqqqqqqq]\nenabled = true\n"), "use one of: ")
	if d := cmp.Diff(names, have); d != "" {
		t.Errorf("agents (-documented +known)\n%s", d)
	}
}

// listedIn is the list at the end of an error's hint.
func listedIn(err error, after string) []string {
	if err == nil {
		return nil
	}
	_, list, _ := strings.Cut(swf.AsError(err).Hint, after)
	return strings.Split(list, ", ")
}

// ownVariables are those that are not for users, and why.
var ownVariables = map[string]string{
	"SWF_ENV_LOADED": "tells Python agents that .env is merged", "SWF_START_ID": "of a start, for its programs", "SWF_STATE_DIR": "of a testbed, for its programs",
	"SWF_LEGACY_WORKFLOW_QUEUE": "from manager.toml to the runner", "SWF_MANAGER_LIFE": "from a manager to the next at a restart",
	"SWF_KEYRING": "withheld from programs by its prefix", "SWF_MONITOR_MCP_TOKEN": "of the Django monitor, withheld from programs",
	"SWF_PROMPT_PROCESSING_CONTAINER": "named by a workflow's own file",
}

var variableRE = regexp.MustCompile(`"((?:ACTIVEMQ|SWF)_[A-Z_]*[A-Z])"`)

// TestVariablesAreAll finds those that the code reads and config.md does not
// have.
func TestVariablesAreAll(t *testing.T) {
	documented := map[string]bool{}
	for _, v := range variables {
		documented[v.name] = true
	}
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && path != root && (strings.HasPrefix(e.Name(), ".") || e.Name() == "test" || e.Name() == "scripts" || e.Name() == "bin") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range variableRE.FindAllStringSubmatch(string(text), -1) {
			if !documented[m[1]] && ownVariables[m[1]] == "" {
				t.Errorf("%s reads %s, which docs/config.md does not have: add it to variables, or to ownVariables with the reason", path, m[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
