package workflows

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/agents"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

const fastFile = `[testbed]
namespace = "ns1"

[workflow]
name = "fast_processing"
realtime = false

[agents.data]
enabled = true
[agents.fastmon]
enabled = true
[agents.fast_processing]
enabled = true
[agents.worker]
enabled = true
`

// startAgents runs every enabled agent of the testbed.
func (s *stage) startAgents() {
	s.t.Helper()
	for _, a := range s.testbed.Agents {
		o := agents.Options{Bus: s.bus, Monitor: s.monitor, Username: "ann", Namespace: "ns1", StartID: "start-1", Program: a.Program}
		var agent interface{ Run(context.Context) error }
		var err error
		switch a.Name {
		case "data":
			agent, err = agents.NewData(o)
		case "fastmon":
			agent, err = agents.NewFastMon(o)
		case "fast_processing":
			agent, err = agents.NewFast(o)
		case "worker":
			agent, err = agents.NewWorker(o, 0, 1)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.background(func(ctx context.Context) { agent.Run(ctx) })
	}
}

func TestFastProcessingInVirtualTime(t *testing.T) {
	s := newStage(t, fastFile)
	s.startAgents()
	s.start(s.options())
	id := s.begin("c1", control.RunParams{})
	x := s.execution(id, swf.ExecutionCompleted)
	var m map[string]float64
	if err := json.Unmarshal(x.PerformanceMetrics, &m); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]float64{
		"stf_count": 10, "stf_ready": 10, "samples": 10, "samples_expected": 10, "slices_queued": 150, "slices_expected": 150, "slices_completed": 150, "simulated_seconds": 40.3,
	} {
		if m[key] != want {
			t.Errorf("%s is %v, want %v", key, m[key], want)
		}
	}
	r, err := s.monitor.RunState(t.Context(), 100010)
	if err != nil || r.STFSamplesReceived != 10 || r.SlicesCompleted != 150 || r.State != "ended" {
		t.Errorf("run state %+v, %v", r, err)
	}
	done, err := s.monitor.FindTFSlices(t.Context(), monitor.SliceFilter{RunNumber: 100010, Status: swf.SliceCompleted, Limit: 1000})
	if err != nil || len(done) != 150 {
		t.Errorf("%d slices completed, %v", len(done), err)
	}
	names := map[string]bool{}
	for _, one := range done {
		var meta struct {
			Name string `json:"slice_filename"`
		}
		if err := json.Unmarshal(one.Metadata, &meta); err != nil {
			t.Fatal(err)
		}
		names[meta.Name] = true
	}
	if len(names) != 150 {
		t.Errorf("%d different slices", len(names))
	}
	// Another run of the same agents, with its own parameters.
	id = s.begin("c2", control.RunParams{Params: map[string]any{"stf_count": 2, "slices_per_sample": 0, "stf_sampling_rate": 0.01, "samples_per_stf": 3}})
	x = s.execution(id, swf.ExecutionCompleted)
	if text := string(x.PerformanceMetrics); !strings.Contains(text, `"slices_completed":12`) || !strings.Contains(text, `"samples":6`) {
		t.Errorf("metrics %s", text)
	}
}

func TestPromptProcessingWritesItsFiles(t *testing.T) {
	container := filepath.Join(t.TempDir(), "shared")
	s := newStage(t, testbedFile)
	o := s.options()
	o.Getenv = func(key string) string {
		return map[string]string{"SWF_PROMPT_PROCESSING_CONTAINER": "$BASE/./", "BASE": container}[key]
	}
	s.start(o)
	id := s.begin("c1", control.RunParams{Workflow: "prompt_processing", Params: map[string]any{"stf_count": 2}})
	if !strings.HasPrefix(id, "prompt_processing-ann-") {
		t.Errorf("execution %s", id)
	}
	imminent := s.next(swf.MsgRunImminent)
	if imminent["dataset"] != "swf.100010.run" || imminent["container"] != container || imminent["simulation_tick"] != 5.0 {
		t.Errorf("run_imminent %v", imminent)
	}
	for range 2 {
		m := s.next(swf.MsgSTFGen)
		body, err := os.ReadFile(filepath.Join(container, "swf.100010.run", m["filename"].(string)))
		if err != nil {
			t.Fatal(err)
		}
		written, err := swf.DecodeMessage(body)
		if err != nil || written["sequence"] != m["sequence"] || written.ExecutionID() != id || written.Namespace() != "ns1" || written["sender"] != nil {
			t.Errorf("written %s, %v", body, err)
		}
	}
	if end := s.next(swf.MsgEndRun); end["simulation_tick"] != 16.6 && end["simulation_tick"] != 16.8 {
		t.Errorf("end_run %v", end)
	}
	s.execution(id, swf.ExecutionCompleted)

	if err := os.RemoveAll(container); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(container, nil, 0o600); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	id = s.begin("c2", control.RunParams{Workflow: "prompt_processing"})
	if x := s.execution(id, swf.ExecutionFailed); !strings.Contains(string(x.PerformanceMetrics), "make the run's folder") || x.EndTime == nil {
		t.Errorf("metrics %s", x.PerformanceMetrics)
	}
	relative := s.run("c3", control.RunParams{Workflow: "prompt_processing", Params: map[string]any{"container": "here"}})
	s.refused(relative, swf.CodeInvalidConfig)
}

// A new workflow is a file.
func TestAWorkflowOfOnesOwn(t *testing.T) {
	s := newStage(t, testbedFile)
	s.start(s.options())
	id := s.begin("c1", control.RunParams{Workflow: "calibration"})
	var got []string
	for _, kind := range []string{"run_imminent", "start_run", "stf_gen", "stf_gen", "stf_gen", "stf_gen", "end_run"} {
		m := s.next(kind)
		tick, _ := json.Marshal(m["simulation_tick"])
		got = append(got, kind+" "+string(tick))
	}
	if want := "run_imminent 0, start_run 4.1, stf_gen 5.2, stf_gen 5.8, stf_gen 6.4, stf_gen 7, end_run 8.1"; strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	s.execution(id, swf.ExecutionCompleted)

	const mine = "[workflow]\nname = \"mine\"\nversion = \"1\"\n[mine]\nlong = 0.5\n[machine]\n[[machine.opening]]\nstate = \"test\"\nsubstate = \"daq\"\nsend = \"hello\"\nfields = { to = \"run {run}\" }\nwait = [\"long\"]\n"
	if err := os.WriteFile(filepath.Join(s.sources.Dir, "workflows", "mine_default.toml"), []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	id = s.begin("c2", control.RunParams{Workflow: "mine"})
	if m := s.next("hello"); m["to"] != "run 100011" || m["state"] != "test" {
		t.Errorf("hello %v", m)
	}
	if end := s.next(swf.MsgEndRun); end["simulation_tick"] != 0.6 { // the runner sends the end that the file forgot
		t.Errorf("end_run %v", end)
	}
	s.execution(id, swf.ExecutionCompleted)
}

// Each bad machine is refused with words that say where and what.
func TestMachinesThatCannotBe(t *testing.T) {
	const head = "[workflow]\nname = \"mine\"\nversion = \"1\"\n[mine]\nn = 1\nt = 1.0\n[machine]\n"
	const good = "[[machine.opening]]\nstate = \"test\"\nsubstate = \"daq\"\n"
	for name, tc := range map[string]struct{ text, says string }{
		"no steps":             {head, "has no steps"},
		"unknown key":          {head + good + "staet = \"x\"\n", `has no key "staet"`},
		"unknown part":         {head + good + "[[machine.opennig]]\n", `has no key "opennig"`},
		"state":                {head + "[[machine.opening]]\nstate = \"No Beam\"\nsubstate = \"daq\"\n", `number 1: state "No Beam"`},
		"no substate":          {head + "[[machine.opening]]\nstate = \"beam\"\n", "substate"},
		"type":                 {head + good + "send = \"a b\"\n", "no type of a message"},
		"stf_gen in opening":   {head + good + "send = \"stf_gen\"\n", "outside of [[machine.each]]"},
		"own field":            {head + good + "send = \"x\"\nfields = { run_id = \"7\" }\n", "cannot set run_id"},
		"unknown name":         {head + good + "send = \"x\"\nfields = { a = \"{nobody}\" }\n", "{nobody}, which stands for nothing"},
		"unknown name in path": {head + good + "make = \"/tmp/{dataset}\"\n", "{dataset}"},
		"write of nothing":     {head + good + "write = \"/tmp/x\"\n", "there is none"},
		"count of what":        {head + "[[machine.each]]\nstate = \"test\"\nsubstate = \"daq\"\nsend = \"stf_gen\"\n", "does not say how many"},
		"endless":              {head + "periods = \"n\"\n" + good, "take no time"},
		"each sends nothing":   {head + "length = \"t\"\n[[machine.each]]\nstate = \"test\"\nsubstate = \"daq\"\n", "take no time"},
		"parameter":            {head + good + "wait = [\"a b\"]\n", "no name of a parameter"},
		"taken text":           {head + good + "[machine.texts]\nrun = { default = \"x\" }\n", "no name that is free"},
		"empty text":           {head + good + "[machine.texts]\na = { path = true }\n", "is empty"},
		"text of texts":        {head + good + "[machine.texts]\na = { default = \"{b}\" }\n", "may hold only {run} and {file}"},
		"bad variable":         {head + good + "[machine.texts]\na = { env = \"a=b\" }\n", "no variable"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "workflows"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "workflows", "mine_default.toml"), []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := find(config.Sources{Dir: dir, Embedded: Files}, "mine")
			if !swf.IsCode(err, swf.CodeInvalidConfig) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "mine_default.toml") || swf.AsError(err).Hint == "" {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := find(embedded, "bogus"); !swf.IsCode(err, swf.CodeUnknownWorkflow) || !strings.HasSuffix(swf.AsError(err).Hint, "calibration, prompt_processing, stf_datataking") {
		t.Errorf("%v (%s)", err, swf.AsError(err).Hint)
	}
}
