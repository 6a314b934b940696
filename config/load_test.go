package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/epic-swf/testbed/swf"
)

func spaced(namespace string) string { return "[testbed]\nnamespace = \"" + namespace + "\"\n" }

func TestNames(t *testing.T) {
	files := map[string]string{
		"testbed.toml": spaced("base"), "torre.toml": spaced("torre"), "prompt.toml": spaced("short"), "prompt_default.toml": spaced("long"),
		"run_default.toml": "[workflow]\nversion = \"1.0\"\n", "plain": spaced("plain"), "fast_processing/x.toml": "",
	}
	for _, c := range []struct{ name, env, path, namespace, from string }{
		{"", "", "testbed.toml", "base", ""},
		{"testbed", "torre", "testbed.toml", "base", ""},
		{"", "torre", "torre.toml", "torre", ""},
		{"", "torre.toml", "torre.toml", "torre", ""},
		{"", "workflows/torre.toml", "torre.toml", "torre", ""},
		{"torre", "", "torre.toml", "torre", ""},
		{"prompt", "", "prompt.toml", "short", ""},
		{"prompt.toml", "", "prompt.toml", "short", ""},
		{"prompt_default", "", "prompt_default.toml", "long", ""},
		{"prompt_default.toml", "", "prompt_default.toml", "long", ""},
		{"run", "", "run_default.toml", "base", "workflows/testbed.toml"},
		{"run.toml", "", "run_default.toml", "base", "workflows/testbed.toml"},
		{"plain", "", "plain", "plain", ""},
		{"fast_processing", "", "", "base", "workflows/testbed.toml"},
		{"fast_processing.toml", "", "", "base", "workflows/testbed.toml"},
	} {
		s := folder(t, files)
		if err := os.Mkdir(filepath.Join(s.Dir, "workflows", "fast_processing"), 0o755); err != nil {
			t.Fatal(err)
		}
		s.Getenv = func(key string) string { return map[string]string{"SWF_TESTBED_CONFIG": c.env}[key] }
		bed := mustLoad(t, s, c.name)
		want := ""
		if c.path != "" {
			want = filepath.Join(s.Dir, "workflows", c.path)
		}
		if bed.Path != want || bed.Namespace != c.namespace || (c.from != "" && bed.NamespaceFrom != c.from) {
			t.Errorf("%q with %q: %q, %s from %s", c.name, c.env, bed.Path, bed.Namespace, bed.NamespaceFrom)
		}
	}
}

func TestAgentsAndWorkflowOfAFileWithoutThem(t *testing.T) {
	s := folder(t, map[string]string{
		testbedFile:         spaced("base") + "[agents.fastmon]\nenabled = true\n[agents.data]\nenabled = true\n[agents.mine]\nprogram = \"my-agent\"\n[workflow]\nname = \"prompt_processing\"\nrealtime = false\n",
		"torre_only.toml":   spaced("torre"),
		"own_default.toml":  "[agents.processing]\nenabled = true\n[workflow]\nname = \"stf_datataking\"\nversion = \"1.0\"\n[p]\nx = 1\n",
		"fast_default.toml": "[workflow]\nname = \"fast_processing\"\n",
	})
	for _, c := range []struct{ name, programs, agents, workflow, config string }{
		{"", "workflow-runner example-fastmon-agent example-data-agent", "workflows/testbed.toml", "prompt_processing", "fast_processing_default"},
		{"torre_only", "workflow-runner example-fastmon-agent example-data-agent", "workflows/testbed.toml", "stf_datataking", "fast_processing_default"},
		{"own", "workflow-runner example-processing-agent", "workflows/own_default.toml", "stf_datataking", "own_default"},
		{"fast", "workflow-runner example-fastmon-agent example-data-agent", "workflows/testbed.toml", "stf_datataking", "fast_processing_default"},
		{"stf_datataking", "workflow-runner example-fastmon-agent example-data-agent", "workflows/testbed.toml", "stf_datataking", "stf_datataking_default"},
	} {
		bed := mustLoad(t, s, c.name)
		got := []string{strings.Join(bed.EnabledPrograms(), " "), bed.AgentsFrom, bed.Workflow.Name, bed.Workflow.Config}
		if diff := cmp.Diff([]string{c.programs, c.agents, c.workflow, c.config}, got); diff != "" {
			t.Errorf("%q: %s", c.name, diff)
		}
	}
	// The namespace may also stand in the folder itself.
	s = folder(t, map[string]string{"./x": "", "sub/y": ""})
	if err := os.WriteFile(filepath.Join(s.Dir, testbedFile), []byte(spaced("outer")), 0o644); err != nil {
		t.Fatal(err)
	}
	if bed := mustLoad(t, s, "fast_processing"); bed.Namespace != "outer" || bed.NamespaceFrom != "testbed.toml" {
		t.Errorf("%+v", bed)
	}
}

func TestUnknownConfigListsWhatThereIs(t *testing.T) {
	s := folder(t, map[string]string{testbedFile: minimal, "torre2.toml": minimal, "part.toml": "[x]\na = 1\n", "notes.txt": "", "broken.toml": "["})
	_, err := Load(s, "torre3")
	e := swf.AsError(err)
	want := `did you mean "torre2.toml"? there are: broken.toml, calibration_default.toml, fast_processing_default.toml, prompt_processing_default.toml, stf_datataking_default.toml, testbed.toml, torre2.toml`
	if e.Code != swf.CodeUnknownConfig || e.Message != `there is no configuration "torre3"` || e.Hint != want {
		t.Errorf("%s: %s (%s)", e.Code, e.Message, e.Hint)
	}
	s.Getenv = func(string) string { return filepath.Join(s.Dir, "gone.toml") }
	if _, err = Load(s, ""); !swf.IsCode(err, swf.CodeUnknownConfig) {
		t.Errorf("a path to nothing: %v", err)
	}
}

func TestAttack27HostileNames(t *testing.T) {
	s := folder(t, map[string]string{testbedFile: minimal})
	for _, name := range []string{"../../etc/passwd", "/etc/passwd", "workflows/testbed.toml", "a\x00b", "..", ".", "-c", "all ", "a b", "$(id)",
		"testbed.toml/", "Testbed.toml\n", "tést", "%74estbed", "a..b", strings.Repeat("a", 100), "..toml", `x\y`} {
		bed, err := Load(s, name)
		if !swf.IsCode(err, swf.CodeInvalidArgument) {
			t.Errorf("%q: %v, %v", name, bed, err)
		}
	}
}

func TestAttack27HostileFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret.toml")
	if err := os.WriteFile(secret, []byte("[testbed]\nnamespace = \"hush\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := folder(t, map[string]string{"good.toml": minimal + "[agents]\n", "big.toml": minimal + "#" + strings.Repeat("x", maxFile)})
	in := func(name string) string { return filepath.Join(s.Dir, "workflows", name) }
	check(t, os.Symlink(secret, in("absolute.toml")))
	up, err := filepath.Rel(filepath.Dir(in("x")), secret)
	check(t, err)
	check(t, os.Symlink(up, in("relative.toml")))
	check(t, os.Symlink("nothing.toml", in("testbed.toml"))) // never the built-in one in its place
	check(t, os.Symlink("loop.toml", in("loop.toml")))
	check(t, os.Symlink("/dev/zero", in("zero.toml")))
	check(t, os.Symlink("good.toml", in("inside.toml")))
	check(t, syscall.Mkfifo(in("fifo.toml"), 0o600))
	check(t, os.Mkdir(in("folder.toml"), 0o755))
	for name, want := range map[string]string{
		"absolute": "leads outside of its folder", "relative": "leads outside of its folder", "zero": "leads outside of its folder",
		"testbed": "is a link to nothing", "loop": "", "fifo": "is not a regular file", "folder": "is not a regular file", "big": "is larger than 64 KiB",
	} {
		bed, err := Load(s, name)
		e := swf.AsError(err)
		if bed != nil || e == nil || e.Code != swf.CodeInvalidConfig || !strings.HasPrefix(e.Message, "workflows/"+name+".toml "+want) || strings.Contains(e.Message+e.Hint, "hush") {
			t.Errorf("%s: %v, %+v", name, bed, e)
		}
	}
	if bed := mustLoad(t, s, "inside"); bed.Namespace != "torre2" {
		t.Errorf("%+v", bed)
	}
	for _, path := range []string{"/dev/zero", in("fifo.toml"), s.Dir, in("big.toml")} {
		if _, err := LoadFile(s, path); !swf.IsCode(err, swf.CodeInvalidConfig) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Each of these keeps the parser for seconds to minutes: it must not reach it.
// The time that a refusal takes is printed; 100 ms are promised.
func TestAttack28Bombs(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for name, text := range map[string]string{
		"nested tables":   strings.Repeat("[a", 1) + strings.Repeat(".a", 20_000) + "]\n",
		"dotted key":      "a" + strings.Repeat(".a", 30_000) + " = 1\n",
		"many keys":       strings.Repeat("a=1\n", 16_000),
		"many tables":     strings.Repeat("[a]\n", 16_000),
		"nested arrays":   "[x]\na = " + strings.Repeat("[", 30_000) + "\n",
		"nested inline":   "[x]\na = " + strings.Repeat("{a=", 20_000) + "\n",
		"inline dotted":   "[x]\na = {b" + strings.Repeat(".b", 30_000) + "=1}\n",
		"many inline":     "[x]\na = {" + strings.Repeat("b=1,", 15_000) + "}\n",
		"many elements":   "[x]\na = [" + strings.Repeat("1,", 30_000) + "]\n",
		"quoted parts":    "[" + strings.Repeat("\"a\".", 15_000) + "a]\n",
		"growing headers": headers(400),
	} {
		began := cpu(t)
		_, err := parse(name, "", name, []byte(text))
		t.Logf("%-15s %5.1f KiB refused in %.1f ms of CPU", name, float64(len(text))/1024, float64((cpu(t)-began).Microseconds())/1000)
		if _, bad := scan(text); bad == nil || !swf.IsCode(err, swf.CodeInvalidConfig) {
			t.Errorf("%s reached the parser: %v", name, err)
		}
	}
	for name, text := range map[string]string{"300,000 keys": strings.Repeat("a = 1\n", 300_000), "dotted 100,000": "a" + strings.Repeat(".a", 100_000) + "=1\n"} {
		s := folder(t, map[string]string{"bomb.toml": text})
		if _, err := Load(s, "bomb"); !swf.IsCode(err, swf.CodeInvalidConfig) || !strings.Contains(err.Error(), "larger than 64 KiB") {
			t.Errorf("%s was read: %v", name, err)
		}
	}
}

// cpu is what this thread has used.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var used unix.Timespec
	check(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &used))
	return time.Duration(used.Nano())
}

// Files that include each other, themselves, or more than there may be.
func TestAttack28IncludeCycles(t *testing.T) {
	include := func(name string) string {
		return "[workflow]\nname = \"w\"\nversion = \"1\"\nincludes = [\"" + name + "\"]\n[w]\na = 1\n"
	}
	for name, files := range map[string]map[string]string{
		"itself":     {"w.toml": include("w.toml")},
		"each other": {"w.toml": include("v.toml"), "v.toml": include("w.toml")},
		"outside":    {"w.toml": include("../../../etc/passwd")},
		"device":     {"w.toml": include("/dev/zero")},
	} {
		s := folder(t, files)
		var into map[string]any
		_, err := ReadMachine(s, "w", &into)
		bed, loadErr := Load(s, "w")
		if err == nil && loadErr == nil {
			if _, err = ResolveRun(s, bed, RunRequest{Workflow: "w"}); err == nil {
				t.Errorf("%s: taken", name)
			}
		}
		for _, e := range []error{err, loadErr} {
			if e != nil && (swf.AsError(e).Code == swf.CodeInternal || strings.Contains(e.Error(), "root:")) {
				t.Errorf("%s: %v", name, e)
			}
		}
	}
}

func headers(n int) string {
	var out strings.Builder
	for i := range n {
		out.WriteString("[a" + strings.Repeat(".a", i) + "]\n")
	}
	return out.String()
}

func TestResolvedFileLoadsAgain(t *testing.T) {
	paths, err := filepath.Glob("testdata/good/testbed/*.toml")
	check(t, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		check(t, err)
		s := folder(t, map[string]string{filepath.Base(path): string(text)})
		first := mustLoad(t, s, filepath.Base(path))
		out := filepath.Join(t.TempDir(), "configs", "0197-abc.toml")
		check(t, first.WriteResolved(out))
		info, err := os.Stat(out)
		check(t, err)
		if info.Mode() != 0o600 {
			t.Errorf("%s: mode %v", path, info.Mode())
		}
		s.Dir = t.TempDir() // nothing but the file and the embedded ones
		s.Getenv = func(string) string { return out }
		again := mustLoad(t, s, "")
		if diff := cmp.Diff(first, again, cmp.AllowUnexported(Workflow{}), cmpopts.EquateEmpty(),
			cmpopts.IgnoreFields(Testbed{}, "Path", "Shown", "NamespaceFrom", "AgentsFrom")); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func TestWriteResolvedSaysWhereItFailed(t *testing.T) {
	s := folder(t, map[string]string{testbedFile: minimal})
	file := filepath.Join(s.Dir, "workflows", testbedFile)
	err := mustLoad(t, s, "").WriteResolved(filepath.Join(file, "x.toml"))
	if e := swf.AsError(err); !strings.Contains(e.Message, file) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// Contract 5.3: what runs under the stock testbed of the Python system.
func TestStockUpstreamRuns(t *testing.T) {
	files := map[string]string{}
	for _, path := range []string{"good/testbed/stock.toml", "good/testbed/prompt.toml", "good/workflow/stf_processing_default.toml", "good/workflow/prompt_processing_default.toml"} {
		text, err := os.ReadFile(filepath.Join("testdata", path))
		check(t, err)
		files[filepath.Base(path)] = string(text)
	}
	files["prompt_processing.toml"] = files["prompt.toml"]
	s := folder(t, files)
	for _, c := range []struct {
		bed, config string
		want        map[string]any
	}{
		{"stock", "", map[string]any{"stf_count": int64(10), "physics_period_count": int64(1), "stf_interval": 2.0}},
		{"stock", "stf_datataking_default", map[string]any{"stf_count": int64(5), "physics_period_count": int64(1), "stf_interval": 2.2}},
		{"stock", "stf_processing_default", map[string]any{"stf_count": nil, "physics_period_count": int64(2), "physics_period_duration": 10.0}},
		{"stock", "prompt_processing_default", map[string]any{"stf_count": int64(10), "physics_period_count": int64(1), "stf_interval": 2.0}},
		{"prompt_processing", "", map[string]any{"stf_count": int64(3), "container": "/data/stf", "poll_interval": int64(60)}},
		{"prompt_processing_default", "", map[string]any{"stf_count": int64(10), "container": "$HOME/stf"}},
	} {
		if c.bed == "prompt_processing_default" { // a workflow's file: the namespace is testbed.toml's
			check(t, os.WriteFile(filepath.Join(s.Dir, "workflows", testbedFile), []byte(files["stock.toml"]), 0o644))
		}
		run, err := ResolveRun(s, mustLoad(t, s, c.bed), RunRequest{Config: c.config})
		if err != nil {
			t.Fatalf("%+v: %v (%s)", c, err, swf.AsError(err).Hint)
		}
		for key, want := range c.want {
			if run.Values[key] != want {
				t.Errorf("%s %s: %s is %v, want %v", c.bed, c.config, key, run.Values[key], want)
			}
		}
	}
}
