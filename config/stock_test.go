package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// folder makes a testbed folder with the given files in workflows/; a name
// with a slash is taken from the folder itself.
func folder(t *testing.T, files map[string]string) Sources {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, "workflows", name)
		if filepath.Dir(name) != "." {
			path = filepath.Join(dir, name)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Sources{Dir: dir, Embedded: os.DirFS("../workflows"), Getenv: func(string) string { return "" }}
}

const minimal = "[testbed]\nnamespace = \"torre2\"\n"

func TestEmbeddedFilesRun(t *testing.T) {
	for _, c := range []struct {
		name     string
		req      RunRequest
		count    int64
		interval float64
	}{
		{"", RunRequest{}, 10, 2.0},
		{"fast_processing", RunRequest{}, 10, 2.0},
		{"", RunRequest{Workflow: "fast_processing"}, 10, 2.0},
		{"", RunRequest{Config: "stf_datataking"}, 5, 2.2},
		{"stf_datataking_default", RunRequest{}, 5, 2.2},
		{"fast_processing", RunRequest{Config: "stf_datataking_default.toml"}, 5, 2.2},
	} {
		s := folder(t, map[string]string{testbedFile: minimal})
		bed, err := Load(s, c.name)
		if err != nil {
			t.Fatalf("%q: %v", c.name, err)
		}
		run, err := ResolveRun(s, bed, c.req)
		if err != nil {
			t.Fatalf("%q %+v: %v", c.name, c.req, err)
		}
		if run.Workflow != "stf_datataking" || run.Namespace != "torre2" || !run.Realtime {
			t.Errorf("%q: %+v", c.name, run)
		}
		if diff := cmp.Diff([]any{c.count, int64(1), c.interval}, []any{run.Values["stf_count"], run.Values["physics_period_count"], run.Values["stf_interval"]}); diff != "" {
			t.Errorf("%q %+v: %s", c.name, c.req, diff)
		}
	}
}
