package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// everyCommand walks the trees of all programs.
func everyCommand(a *app, visit func(*cobra.Command)) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		visit(c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	for _, root := range a.roots() {
		walk(root)
	}
}

// quietApp is an app that looks nowhere outside of dir.
func quietApp(dir string) *app {
	var out bytes.Buffer
	env := map[string]string{"HOME": dir}
	return &app{out: &out, err: &out, getenv: func(name string) string { return env[name] }, environ: func() []string { return nil }, dir: dir}
}

// TestEveryCommandSaysWhatItIs: what help, manuals and completion print is
// there, and ends alike.
func TestEveryCommandSaysWhatItIs(t *testing.T) {
	t.Parallel()
	everyCommand(quietApp(t.TempDir()), func(c *cobra.Command) {
		path := c.CommandPath()
		if c.Short == "" || strings.HasSuffix(c.Short, ".") || strings.ContainsRune(c.Short, '\n') {
			t.Errorf("%s: Short is %q", path, c.Short)
		}
		if c.RunE == nil {
			t.Errorf("%s cannot be run", path)
		}
		for line := range strings.Lines(c.Long) {
			if len(line) > 125 {
				t.Errorf("%s: a line of its help has %d characters", path, len(line))
			}
		}
		if f := c.Flags().Lookup("output"); f != nil && f.Shorthand == "o" && f.Usage != "table, json or yaml" {
			t.Errorf("%s: --output is %q", path, f.Usage)
		}
	})
}

// TestEveryCommandHasAManual: a page for each, with what can be said to it.
func TestEveryCommandHasAManual(t *testing.T) {
	t.Parallel()
	a := quietApp(t.TempDir())
	a.linked = TestLinked
	to := filepath.Join(t.TempDir(), "man1")
	if err := a.writeManuals(to, nil); err != nil {
		t.Fatal(err)
	}
	everyCommand(a, func(c *cobra.Command) {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		page, err := os.ReadFile(filepath.Join(to, name))
		if err != nil {
			t.Error(err)
			return
		}
		for _, want := range []string{".SH NAME", ".SH SYNOPSIS", c.Short} {
			if !strings.Contains(string(page), want) {
				t.Errorf("%s has no %q", name, want)
			}
		}
	})
}

// TestEveryCommandCompletes: a shell may ask behind every command, and is told
// no files where none belong and no error ever.
func TestEveryCommandCompletes(t *testing.T) { // not in parallel: cobra completes with variables of its own
	a := quietApp(t.TempDir())
	var words [][]string
	everyCommand(a, func(c *cobra.Command) {
		if c.Root().Name() == "testbed" {
			words = append(words, strings.Fields(c.CommandPath())[1:])
		}
	})
	for _, w := range words {
		a := quietApp(t.TempDir())
		var out bytes.Buffer
		a.out = &out
		if code := a.execute(t.Context(), a.testbedRoot(), append(append([]string{"__complete"}, w...), "")); code != ExitOK {
			t.Errorf("completion behind %v: exit %d\n%s", w, code, out.String())
		}
		if !strings.Contains(out.String(), "\n:") && !strings.HasPrefix(out.String(), ":") {
			t.Errorf("completion behind %v says %q", w, out.String())
		}
	}
}
