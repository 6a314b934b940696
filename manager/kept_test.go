package manager

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
)

// keptSite is a testbed folder with a configuration file of that text and an
// environment that the test may change.
func keptSite(t *testing.T, text string) (tb *Testbed, write func(string), env *[]string) {
	t.Helper()
	dir := t.TempDir()
	env = &[]string{"A=1"}
	tb = NewTestbed(TestbedOptions{Username: "ann", Paths: config.Paths{Dir: dir, State: dir, Config: dir},
		Environ: func(map[string]string) ([]string, error) { return append([]string{}, *env...), nil }})
	write = func(text string) {
		if err := os.WriteFile(tb.confPath, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	return tb, write, env
}

func confText(socket, more string) string {
	return "[unix_http_server]\nfile=%(here)s/" + socket + "\n[supervisord]\n" + more
}

// socketSeen is where a look would ask.
func socketSeen(t *testing.T, tb *Testbed) string {
	t.Helper()
	d, err := tb.lookDaemon(nil)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(d.Conf().Socket)
}

// isKept reports whether a second look takes what the first has read.
func isKept(t *testing.T, tb *Testbed) bool {
	t.Helper()
	first, err := tb.lookDaemon(nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := tb.lookDaemon(nil)
	return err == nil && second == first
}

// A look reads the configuration anew whenever the file, or the environment
// that it is read with, is another.
func TestLooksReadAChangedConfiguration(t *testing.T) {
	tb, write, env := keptSite(t, confText("a.sock", ""))
	for _, step := range []struct {
		name   string
		change func()
		want   string
	}{
		{"as it was written", func() {}, "a.sock"},
		{"other text of that size", func() { write(confText("b.sock", "")) }, "b.sock"},
		{"another file of that name", func() {
			path := filepath.Join(t.TempDir(), "new")
			if os.WriteFile(path, []byte(confText("c.sock", "")), 0o600) != nil || os.Rename(path, tb.confPath) != nil {
				t.Fatal("cannot replace the file")
			}
		}, "c.sock"},
		{"with a variable", func() { write(confText("%(ENV_A)s.sock", "")) }, "1.sock"},
		{"that variable changed", func() { *env = []string{"A=2"} }, "2.sock"},
	} {
		step.change()
		for range 2 { // as read now, and as kept
			if got := socketSeen(t, tb); got != step.want {
				t.Errorf("%s: a look asks at %s, want %s", step.name, got, step.want)
			}
		}
	}
	if err := os.Remove(tb.confPath); err != nil {
		t.Fatal(err)
	}
	if _, err := tb.lookDaemon(nil); !swf.IsCode(err, swf.CodeEnvironment) || !strings.Contains(err.Error(), "there is no") {
		t.Errorf("with the file gone: %v", err)
	}
}

// What was read is kept as long as everything is the same, but not what was
// written a moment ago: the next change might bear the same time. Of what is
// included nothing is known but the names.
func TestWhatLooksKeep(t *testing.T) {
	tb, write, env := keptSite(t, confText("a.sock", ""))
	tb.kept.tick = time.Hour // the true one may be over by now
	if isKept(t, tb) {
		t.Error("a file is kept that was written within the tick of its clock")
	}
	tb.kept.tick = -time.Hour
	if !isKept(t, tb) {
		t.Error("a file that settled is read each time")
	}
	first, _ := tb.lookDaemon(nil)
	*env = []string{"A=2"}
	if second, err := tb.lookDaemon(nil); err != nil || second == first {
		t.Errorf("in another environment it is the same, %v", err)
	}
	write(confText("longer.sock", ""))
	if got := socketSeen(t, tb); got != "longer.sock" {
		t.Errorf("a longer file is not read: %s", got)
	}
	write(confText("a.sock", "[include]\nfiles=*.more\n"))
	if isKept(t, tb) {
		t.Error("a configuration with [include] is kept")
	}
}

// The note of the last start is told as it is.
func TestLooksReadAChangedNote(t *testing.T) {
	tb, _, _ := keptSite(t, confText("a.sock", ""))
	for _, want := range []string{"", "first", "other", ""} {
		if want == "" {
			_ = os.Remove(tb.startedPath)
		} else if err := tb.writeStarted(&started{Namespace: want}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if got, _ := tb.Current(); got != want {
				t.Errorf("namespace %q, want %q", got, want)
			}
		}
	}
	if err := os.WriteFile(tb.startedPath, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tb.lastStart(); !swf.IsCode(err, swf.CodeEnvironment) {
		t.Errorf("a note that cannot be read: %v", err)
	}
}
