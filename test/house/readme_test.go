package house

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const maxReadme = 150

// TestReadme keeps it short, and its tree complete.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > maxReadme {
		t.Errorf("README.md has %d lines, more than %d: move what is not for a first look to docs/", n, maxReadme)
	}
	_, tree, found := strings.Cut(string(text), "## Project structure\n")
	if !found {
		t.Fatal(`README.md has no section "Project structure"`)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") || e.Name() == "bin" || e.Name() == "dist" { // those two are built
			continue
		}
		if !strings.Contains(tree, "\n    "+e.Name()+"/ ") {
			t.Errorf("README.md, Project structure: %s/ is missing", e.Name())
		}
	}
	for line := range strings.Lines(tree) {
		name, _, ok := strings.Cut(strings.TrimPrefix(line, "    "), "/ ")
		if !ok || !strings.HasPrefix(line, "    ") {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("README.md, Project structure: %s/ does not exist", name)
		}
	}
}
