package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epic-swf/testbed/swf"
)

func mustLoad(t *testing.T, s Sources, name string) *Testbed {
	t.Helper()
	bed, err := Load(s, name)
	if err != nil {
		t.Fatalf("%v (%s)", err, swf.AsError(err).Hint)
	}
	return bed
}

const mainFile = `[workflow]
name = "w"
version = "2.0"
includes = ["first.toml", "second.toml"]

[own]
a = 1
shared = "main"

[daq_state_machine]
stf_interval = 2.0
shared = "machine"
`

var mergeFilesOnDisk = map[string]string{
	"w_default.toml": mainFile,
	"first.toml":     "[own]\na = 99\n\n[one]\nb = 10\nshared = \"first\"\n",
	"second.toml":    "[one]\nb = 98\n\n[two]\nc = [1, 2]\n[workflow]\nname = \"ignored\"\n",
}

func TestMergeOrder(t *testing.T) {
	for _, c := range []struct {
		name, testbed string
		params        map[string]any
		want          map[string]any // of Values
		order         string
	}{
		{"files alone: main wins, then the first include", "", nil,
			map[string]any{"a": int64(1), "b": int64(10), "shared": "first", "stf_interval": 2.0}, "own daq_state_machine one two"},
		{"a section of the testbed, key by key", "[own]\na = 2\n", nil,
			map[string]any{"a": int64(2), "shared": "first"}, "own daq_state_machine one two"},
		{"the machine loses to any other section", "[daq_state_machine]\nshared = \"x\"\nstf_interval = 3\n", nil,
			map[string]any{"shared": "first", "stf_interval": 3.0}, "own daq_state_machine one two"},
		{"a section that only the testbed has comes last", "[extra]\nshared = \"extra\"\nnew = true\n", nil,
			map[string]any{"shared": "extra", "new": true}, "own daq_state_machine one two extra"},
		{"an agent's key in a known section is added", "[own]\ncontainer = \"/data\"\n", nil,
			map[string]any{"container": "/data"}, "own daq_state_machine one two"},
		{"[parameters] replace everywhere", "[extra]\nshared = \"extra\"\n[parameters]\nshared = \"all\"\na = 5\n", nil,
			map[string]any{"shared": "all", "a": int64(5)}, "own daq_state_machine one two extra"},
		{"the request replaces [parameters]", "[parameters]\na = 5\n", map[string]any{"a": 7.0, "b": json.Number("8"), "c": []any{3.0}},
			map[string]any{"a": int64(7), "b": int64(8), "c": []any{3.0}}, "own daq_state_machine one two"},
		{"a null is not given", "", map[string]any{"a": nil}, map[string]any{"a": int64(1)}, "own daq_state_machine one two"},
		{"the machine's own parameters need no file", "[parameters]\nphysics_period_count = 3\n", map[string]any{"stf_count": 4.0},
			map[string]any{"stf_count": int64(4), "physics_period_count": int64(3)}, "own daq_state_machine one two"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{testbedFile: minimal + "[workflow]\nname = \"w\"\nconfig = \"w_default\"\n" + c.testbed}
			for k, v := range mergeFilesOnDisk {
				files[k] = v
			}
			s := folder(t, files)
			run, err := ResolveRun(s, mustLoad(t, s, ""), RunRequest{Params: c.params})
			if err != nil {
				t.Fatalf("%v (%s)", err, swf.AsError(err).Hint)
			}
			for key, want := range c.want {
				if diff := cmp.Diff(want, run.Values[key]); diff != "" {
					t.Errorf("%s: %s", key, diff)
				}
			}
			if got := strings.Join(run.Order, " "); got != c.order {
				t.Errorf("order %s, want %s", got, c.order)
			}
			if run.Workflow != "w" || run.Version != "2.0" || run.ConfigName != "w_default.toml" || !strings.Contains(run.Definition, "# included: second.toml") {
				t.Errorf("%+v", run)
			}
		})
	}
}

func TestRunIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, testbed string
		req           RunRequest
		code          swf.Code
		message, hint string
	}{
		{"slip in params", "", RunRequest{Params: map[string]any{"stf_cuont": 5.0}}, swf.CodeInvalidArgument,
			"parameter stf_cuont is no parameter of built-in fast_processing_default.toml", `did you mean "stf_count"? it has: beam_not_ready_delay, `},
		{"fraction for a whole number", "", RunRequest{Params: map[string]any{"stf_count": 2.5}}, swf.CodeInvalidArgument, "parameter stf_count is a number, not a whole number", "type it has"},
		{"text for a number", "", RunRequest{Params: map[string]any{"stf_interval": "2"}}, swf.CodeInvalidArgument, "parameter stf_interval is a text, not a number", "0 to 86400"},
		{"negative", "", RunRequest{Params: map[string]any{"stf_count": -1.0}}, swf.CodeInvalidArgument, "parameter stf_count = -1 is out of range", "from 0 to 100000"},
		{"huge", "", RunRequest{Params: map[string]any{"stf_count": json.Number("1e9")}}, swf.CodeInvalidArgument, "parameter stf_count = 1000000000 is out of range", ""},
		{"not a number", "", RunRequest{Params: map[string]any{"stf_interval": json.Number("1e999")}}, swf.CodeInvalidArgument, "parameter stf_interval is not a finite number", ""},
		{"table", "", RunRequest{Params: map[string]any{"stf_count": map[string]any{}}}, swf.CodeInvalidArgument, "parameter stf_count is a table", ""},
		{"duration", "", RunRequest{Duration: -1}, swf.CodeInvalidArgument, "duration -1 is out of range", "0 (to the end) to 86400"},
		{"duration as parameter", "", RunRequest{Params: map[string]any{"duration": "x"}}, swf.CodeInvalidArgument, "parameter duration is a text, not a number", ""},
		{"realtime as parameter", "", RunRequest{Params: map[string]any{"realtime": 1.0}}, swf.CodeInvalidArgument, "parameter realtime is a number", ""},
		{"workflow name", "", RunRequest{Workflow: "stf-datataking"}, swf.CodeInvalidArgument, `workflow_name "stf-datataking" is not a valid name`, ""},
		{"config path", "", RunRequest{Config: "../x"}, swf.CodeInvalidArgument, `config_name "../x" is not a valid name`, ""},
		{"unknown config", "", RunRequest{Workflow: "nothing"}, swf.CodeUnknownConfig, `there is no configuration "nothing_default"`, "there are: calibration_default.toml, fast_processing_default.toml, prompt_processing_default.toml, stf_datataking_default.toml, testbed.toml"},
		{"config of no workflow", "", RunRequest{Config: "testbed"}, swf.CodeInvalidConfig, "workflows/testbed.toml defines no workflow", "use one of"},
		{"slip in [parameters]", "[parameters]\nstf_cuont = 5\n", RunRequest{}, swf.CodeInvalidConfig,
			"workflows/testbed.toml: [parameters] stf_cuont is no parameter of built-in fast_processing_default.toml", `did you mean "stf_count"?`},
		{"slip in a section", "[fast_processing]\ncore_cuont = 5\n", RunRequest{}, swf.CodeInvalidConfig,
			"workflows/testbed.toml: [fast_processing] core_cuont is no parameter of built-in fast_processing_default.toml", `did you mean "core_count"?`},
		{"type in a section", "[fast_processing]\ncore_count = \"5\"\n", RunRequest{}, swf.CodeInvalidConfig, "workflows/testbed.toml: [fast_processing] core_count is a text, not a whole number", ""},
		{"range in a section", "[daq_state_machine]\nbroadcast_delay = -1\n", RunRequest{}, swf.CodeInvalidConfig, "workflows/testbed.toml: [daq_state_machine] broadcast_delay = -1 is out of range", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := folder(t, map[string]string{testbedFile: minimal + c.testbed})
			run, err := ResolveRun(s, mustLoad(t, s, ""), c.req)
			if err == nil {
				t.Fatalf("accepted: %+v", run)
			}
			if e := swf.AsError(err); e.Code != c.code || !strings.HasPrefix(e.Message, c.message) || !strings.Contains(e.Hint, c.hint) || e.Hint == "" {
				t.Errorf("got %s: %s (%s)", e.Code, e.Message, e.Hint)
			}
		})
	}
}

// The Python runner inserted the testbed's sections by reference, so that one
// run's parameters stayed for the next.
func TestNothingLeaksBetweenRuns(t *testing.T) {
	s := folder(t, map[string]string{testbedFile: minimal + "[extra]\nx = 1\nlist = [1, 2]\n[parameters]\nstf_count = 6\n"})
	bed := mustLoad(t, s, "")
	params := map[string]any{"x": 2.0, "stf_count": 7.0, "namespace": "torre2", "workflow_name": "w", "config_name": "c"}
	first, err := ResolveRun(s, bed, RunRequest{Params: params})
	if err != nil {
		t.Fatal(err)
	}
	first.Sections["extra"]["list"].([]any)[0] = "changed"
	first.Values["list"].([]any)[1] = "changed"
	second, err := ResolveRun(s, bed, RunRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{int64(1), int64(6), []any{int64(1), int64(2)}}, []any{second.Values["x"], second.Values["stf_count"], second.Values["list"]}); diff != "" {
		t.Error(diff)
	}
	if len(params) != 5 {
		t.Errorf("the request's own map was changed: %v", params)
	}
	if _, there := first.Values["namespace"]; there {
		t.Error("a reserved name became a parameter")
	}
}

func TestReservedParametersFillTheRequest(t *testing.T) {
	s := folder(t, map[string]string{testbedFile: minimal})
	bed := mustLoad(t, s, "")
	run, err := ResolveRun(s, bed, RunRequest{Params: map[string]any{"realtime": false, "duration": 60}})
	if err != nil || run.Realtime || run.Duration != 60 {
		t.Errorf("%+v, %v", run, err)
	}
	on := true
	run, err = ResolveRun(s, bed, RunRequest{Realtime: &on, Duration: 5, Params: map[string]any{"realtime": false, "duration": 60}})
	if err != nil || !run.Realtime || run.Duration != 5 {
		t.Errorf("%+v, %v", run, err)
	}
}

func TestParameterValues(t *testing.T) {
	s := folder(t, map[string]string{testbedFile: minimal + "[agents.data]\nenabled = true\n"})
	run, err := ResolveRun(s, mustLoad(t, s, ""), RunRequest{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := run.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"name": "stf_datataking", "version": "1.0", "config": "fast_processing_default", "realtime": true,
		"description": "STF data taking with fast processing of sampled time frames"}
	if diff := cmp.Diff(want, got["workflow"]); diff != "" {
		t.Error(diff)
	}
	if got["testbed"]["namespace"] != "torre2" || got["agents"]["data"] == nil || got["fast_processing"]["num_tf_per_slice"] != 2.0 {
		t.Errorf("%s", text)
	}
}
