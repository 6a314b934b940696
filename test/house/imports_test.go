package house

import (
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/epic-swf/testbed"

// mayImport is the architecture: each package and what it may import of ours.
// Imports run downwards only. Tests may import more and are not held to it.
var mayImport = []struct {
	pkg     string
	imports string // separated by spaces; "*" is everything
}{
	// Doors: how people, assistants and daemons come in.
	{"cmd/*", "cli cli/testbed"},
	{"cli/testbed", "*"}, // apart from cli, for what the monitor links is not for the daemons
	{"cli", "*"},

	// What an assistant may ask, and how it connects.
	{"mcpserver", "tools web swf"},
	{"tools", "audit control monitor swf"},

	// What acts.
	{"manager", "audit control config supervisor monitor swf amq"},
	{"agents", "amq monitor config swf workflows/sim"},
	{"workflows", "agents control monitor config swf amq workflows/sim"},

	// What happened.
	{"monitor", "swf"},
	{"monitor/recorder", "amq monitor/store swf"},
	{"monitor/api", "monitor/store web swf"},
	{"monitor/dashboard", "monitor/store web swf"},
	{"monitor/store", "swf"},

	// What the above stand on.
	{"control", "amq swf"},
	{"config", "swf"},
	{"web", "swf"},

	// What can be read, tested and used alone.
	{"amq", ""},
	{"amq/broker", ""},
	{"supervisor", ""},
	{"workflows/sim", ""},
	{"swf", ""},
	{"audit", ""},
	{"otlp", ""}, // ours because the official exporter links gRPC into every daemon

	// What serves the making of it.
	{"scripts/*", ""},
	{"test/house", ""},
	{"test/*", "*"},
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		allowed, ok := importsOf(p.path)
		if !ok {
			t.Errorf("package %s is not in the table of imports_test.go: decide what it may import and add its row", p.path)
			continue
		}
		for _, f := range p.files {
			if f.test {
				continue
			}
			for _, imp := range f.ast.Imports {
				target, ours := strings.CutPrefix(strings.Trim(imp.Path.Value, `"`), module+"/")
				if ours && !slices.Contains(allowed, target) && !slices.Contains(allowed, "*") {
					t.Errorf("%s: package %s must not import %s (allowed: %v)", f.at(imp.Pos()), p.path, target, allowed)
				}
			}
		}
	}
}

// TestImportTable keeps the table itself honest: downwards only.
func TestImportTable(t *testing.T) {
	below := map[string]bool{}
	for i := len(mayImport) - 1; i >= 0; i-- {
		row := mayImport[i]
		if strings.HasPrefix(row.pkg, "test/") || row.imports == "*" {
			continue
		}
		for _, target := range strings.Fields(row.imports) {
			if target != "cli" && !slices.ContainsFunc(mayImport, func(r struct{ pkg, imports string }) bool { return r.pkg == target }) {
				t.Errorf("%s may import %s, which has no row", row.pkg, target)
			}
			if reaches(target, row.pkg, below) {
				t.Errorf("%s may import %s, which reaches back to it", row.pkg, target)
			}
			clear(below)
		}
	}
}

func importsOf(pkg string) ([]string, bool) {
	for _, row := range mayImport {
		if ok, _ := path.Match(row.pkg, pkg); ok {
			return strings.Fields(row.imports), true
		}
	}
	return nil, false
}

// reaches tells whether the table lets from import to, directly or not.
func reaches(from, to string, seen map[string]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	imports, _ := importsOf(from)
	return slices.ContainsFunc(imports, func(next string) bool { return reaches(next, to, seen) })
}
