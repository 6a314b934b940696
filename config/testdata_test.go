package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/swf"
)

var update = flag.Bool("update", false, "write the first lines of testdata/bad anew; read them before you believe them")

// readers is how a file of each kind in testdata is read.
var readers = map[string]func(t *testing.T, name, text string) error{
	"testbed": func(t *testing.T, name, text string) error {
		_, err := Load(folder(t, map[string]string{name: text}), name)
		return err
	},
	"workflow": func(t *testing.T, name, text string) error {
		s := folder(t, map[string]string{name: text, testbedFile: minimal})
		bed, err := Load(s, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = ResolveRun(s, bed, RunRequest{Config: name})
		return err
	},
	"manager": func(_ *testing.T, name, text string) error {
		s := DefaultManagerSettings()
		if err := decodeStrict(name, text, &s); err != nil {
			return err
		}
		return s.check(name)
	},
	"server": func(_ *testing.T, name, text string) error {
		s := DefaultServerSettings()
		s.path = name
		if err := decodeStrict(name, text, &s); err != nil {
			return err
		}
		return s.check()
	},
	"env": func(_ *testing.T, name, text string) error {
		_, err := parseDotEnv(name, text)
		return err
	},
}

func eachFile(t *testing.T, kind string, do func(t *testing.T, read func(*testing.T, string, string) error, path, text string)) {
	t.Helper()
	for what, read := range readers {
		paths, err := filepath.Glob(filepath.Join("testdata", kind, what, "*"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no files in testdata/%s/%s: %v", kind, what, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(what+"/"+filepath.Base(path), func(t *testing.T) { do(t, read, path, string(text)) })
		}
	}
}

func TestGoodFiles(t *testing.T) {
	eachFile(t, "good", func(t *testing.T, read func(*testing.T, string, string) error, path, text string) {
		if err := read(t, filepath.Base(path), text); err != nil {
			t.Errorf("%v (%s)", err, swf.AsError(err).Hint)
		}
	})
}

// Each bad file begins with the error it causes.
func TestBadFiles(t *testing.T) {
	eachFile(t, "bad", func(t *testing.T, read func(*testing.T, string, string) error, path, text string) {
		err := read(t, filepath.Base(path), text)
		if err == nil {
			t.Fatal("accepted")
		}
		e := swf.AsError(err)
		got := fmt.Sprintf("# %s: %s\n# hint: %s\n", e.Code, e.Message, e.Hint)
		if e.Hint == "" || e.Code == swf.CodeInternal || strings.Contains(got, "secret") {
			t.Errorf("not an error for a person: %s", got)
		}
		if *update {
			rewrite(t, path, got, text)
		} else if !strings.HasPrefix(text, got) {
			t.Errorf("got\n%swant the first lines of %s", got, path)
		}
	})
}

func rewrite(t *testing.T, path, head, text string) {
	t.Helper()
	lines := strings.SplitAfter(text, "\n")
	if strings.HasPrefix(text, "# ") {
		lines = lines[2:]
	}
	if err := os.WriteFile(path, []byte(head+strings.Join(lines, "")), 0o644); err != nil {
		t.Fatal(err)
	}
}
