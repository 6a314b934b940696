//go:build packages

package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestUnits has systemd itself read the units.
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd on this machine to read its units")
	}
	dir := t.TempDir()
	for _, name := range []string{"testbed", "swf-mcp"} { // verify wants the programs to be there
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	units, err := filepath.Glob(root + "/deploy/systemd/*.service")
	if err != nil || len(units) != 3 {
		t.Fatalf("units %v, %v", units, err)
	}
	for _, unit := range units {
		text := strings.ReplaceAll(read(t, unit), "/usr/bin/", dir+"/")
		copied := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(copied, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "verify", "--man=no", copied).CombinedOutput()
		if err != nil || strings.Contains(string(out), filepath.Base(unit)) {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
		if filepath.Base(unit) == "testbed-agent-manager.service" {
			continue // a user's own, who may do what the user may
		}
		if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", copied).CombinedOutput(); err != nil {
			t.Errorf("%s is less than sandboxed: %v\n%s", unit, err, out)
		}
	}
}

// TestManagerUnit holds the packaged unit of the manager to the one that
// testbed install-service writes: both say the same of restarts and of stops.
func TestManagerUnit(t *testing.T) {
	packaged := settings(read(t, root+"/deploy/systemd/testbed-agent-manager.service"))
	written := settings(read(t, root+"/cli/templates/testbed-agent-manager.service"))
	if len(written) < 8 {
		t.Fatalf("of the written unit only %v was understood", written)
	}
	for _, line := range written {
		if !slices.Contains(packaged, line) {
			t.Errorf("the packaged unit lacks %s", line)
		}
	}
}

// settings are the lines of a unit that do not depend on the testbed's folder.
func settings(unit string) []string {
	var lines []string
	for _, line := range strings.Split(unit, "\n") {
		if key, _, ok := strings.Cut(line, "="); ok && !strings.ContainsAny(line, "{#") && key != "Description" {
			lines = append(lines, line)
		}
	}
	return lines
}
