package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/epic-swf/testbed/swf"
)

func addFiles(f *testing.F, patterns ...string) {
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatal("no seeds in " + pattern)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
}

// What the scanner takes for broken the parser must refuse as well: else a
// good file would be refused. What loads must load again as it was resolved.
func FuzzTestbed(f *testing.F) {
	addFiles(f, "testdata/*/testbed/*.toml", "testdata/*/workflow/*.toml", "../workflows/*.toml")
	for _, s := range []string{"a.\"b\\\"c\".'d' = 1", "a = \"\"\"x\"\"\"\"\"\n", "[ a . 'b' ]\n", "[[a]]\n[[a]]", "x = [1, # c ]\n 2]", "a='''\r\n'''", "a = {b.c=1}", "\ufeffa=1", "[testbed]\nnamespace='n'\n[p]\nx=1e3\ny='''\n\"\\'''\n"} {
		f.Add(s)
	}
	sources := Sources{Embedded: os.DirFS("../workflows")}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 || !utf8.ValidString(text) { // the parser forgives a UTF-16 mark
			return
		}
		if _, bad := scan(text); bad != nil && !strings.Contains(bad.text, "more than") {
			var into map[string]any
			if _, err := toml.Decode(text, &into); err == nil {
				t.Fatalf("the scanner refuses what is TOML: %v", bad)
			}
		}
		d, err := parse("x.toml", "/x.toml", "x.toml", []byte(text))
		if err != nil {
			if e := swf.AsError(err); e.Code != swf.CodeInvalidConfig || e.Hint == "" || strings.ContainsAny(e.Message, "\n\r\x00\x1b") {
				t.Fatalf("%+v", e)
			}
			return
		}
		bed, err := load(sources, d)
		if err != nil {
			if swf.AsError(err).Code == swf.CodeInternal {
				t.Fatal(err)
			}
			return
		}
		if _, err := ResolveRun(sources, bed, RunRequest{}); err != nil && swf.AsError(err).Code == swf.CodeInternal {
			t.Fatal(err)
		}
		checkRoundTrip(t, sources, bed)
	})
}

func checkRoundTrip(t *testing.T, sources Sources, bed *Testbed) {
	t.Helper()
	text, err := bed.encode()
	if err != nil {
		t.Fatal(err)
	}
	d, err := parse("x.toml", "/x.toml", "x.toml", text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	again, err := load(sources, d)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if diff := cmp.Diff(bed, again, cmp.AllowUnexported(Workflow{}), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Testbed{}, "NamespaceFrom", "AgentsFrom")); diff != "" {
		t.Fatalf("%s in\n%s", diff, text)
	}
}

func FuzzDotEnv(f *testing.F) {
	addFiles(f, "testdata/*/env/*.env")
	f.Fuzz(func(t *testing.T, text string) {
		vars, err := parseDotEnv("x", text)
		if err != nil {
			if e := swf.AsError(err); e.Code != swf.CodeEnvironment || e.Hint == "" || len(e.Message) > 100 {
				t.Fatalf("%+v", e)
			}
			return
		}
		var out strings.Builder
		for key, value := range vars {
			if !envNameRE.MatchString(key) || strings.ContainsAny(value, "\n\x00") {
				t.Fatalf("%q = %q", key, value)
			}
			out.WriteString("export " + key + `="` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(value) + "\" # c\r\n")
		}
		again, err := parseDotEnv("x", out.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(vars, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzParams(f *testing.F) {
	for _, s := range []string{`{"stf_count":5}`, `{"stf_count":5.5,"namespace":"x"}`, `{"stf_interval":1e308}`, `{"realtime":null,"duration":-0}`, `{"core_count":9007199254740993}`, `{"a":[[1]]}`} {
		f.Add(s)
	}
	sources := Sources{Embedded: os.DirFS("../workflows")}
	d, err := parse("x.toml", "", "x.toml", []byte(minimal))
	if err != nil {
		f.Fatal(err)
	}
	bed, err := load(sources, d)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var params map[string]any
		if json.Unmarshal([]byte(text), &params) != nil {
			return
		}
		run, err := ResolveRun(sources, bed, RunRequest{Params: params})
		if err != nil {
			if e := swf.AsError(err); e.Code != swf.CodeInvalidArgument || e.Hint == "" {
				t.Fatalf("%+v", e)
			}
			return
		}
		if _, err := run.JSON(); err != nil {
			t.Fatal(err)
		}
		for key, v := range run.Values {
			if err := checkValue(v, 0); err != nil {
				t.Fatalf("%s %v", key, err)
			}
		}
	})
}
