//go:build packages

package packages

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// root is the repository's folder, as a test sees it.
const root = "../.."

// lacking skips the test; in CI, where nothing may be missing, it fails.
func lacking(t *testing.T, what, cure string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("there is no %s; CI must have it: %s", what, cure)
	}
	t.Skipf("there is no %s: %s", what, cure)
}

// tool is the path of a program or folder that set-up names in the environment.
func tool(t *testing.T, variable, what string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		lacking(t, what, "make package")
	}
	return path
}

// artifact is one file of a release, as goreleaser lists it.
type artifact struct {
	Name, Path, Goos, Goarch, Type string
	Extra                          struct{ Binary, Format, ID string }
}

// built is everything that make package built. Paths are absolute.
func built(t *testing.T) (dist string, all []artifact) {
	t.Helper()
	dist = tool(t, "SWF_TEST_DIST", "built release")
	b, err := os.ReadFile(filepath.Join(dist, "artifacts.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		all[i].Path = filepath.Join(filepath.Dir(dist), all[i].Path)
	}
	return dist, all
}

// only is the one artifact that is chosen.
func only(t *testing.T, choose func(artifact) bool) artifact {
	t.Helper()
	_, all := built(t)
	var found []artifact
	for _, a := range all {
		if choose(a) {
			found = append(found, a)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d artifacts are chosen, not one: %v", len(found), found)
	}
	return found[0]
}

// said runs a program to its end and returns what it printed.
func said(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
