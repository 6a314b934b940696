package workflows

import (
	"context"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows/sim"
)

// FuzzMachine: whatever a workflow's file holds, it is refused with an error
// for people, or can be played and lets simulated time pass.
func FuzzMachine(f *testing.F) {
	for _, name := range []string{"stf_datataking_default.toml", "prompt_processing_default.toml", "calibration_default.toml", "fast_processing_default.toml", "daq_state_machine.toml"} {
		text, err := fs.ReadFile(Files, name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("[workflow]\nname = \"x\"\nversion = \"1\"\n[x]\nn = 0\n[machine]\nperiods = \"n\"\nlength = \"n\"\n[[machine.each]]\nstate = \"s\"\nsubstate = \"s\"\nsend = \"a\"\n")
	included, err := fs.ReadFile(Files, "daq_state_machine.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := config.Sources{Embedded: fstest.MapFS{"x_default.toml": {Data: []byte(text)}, "daq_state_machine.toml": {Data: included}}}
		run, err := config.ResolveRun(s, &config.Testbed{Workflow: config.Workflow{Name: "x", Config: "x_default"}}, config.RunRequest{})
		var p player
		if err == nil {
			p, err = newPlayer(s, run, func(string) string { return "/" })
		}
		if err != nil {
			if e := swf.AsError(err); e.Code == swf.CodeInternal || e.Message == "" || e.Hint == "" {
				t.Errorf("%#v", err)
			}
			return
		}
		sent := 0
		p.run, p.enter, p.folder = "1", func(string, string) {}, func(string) error { return nil }
		p.send = func(_ context.Context, s step) error { sent++; _ = p.message(s); return nil }
		c := sim.New(sim.Options{Limit: 5})
		_ = c.Run(t.Context(), p.play)
		if most := int(c.Now()/broadcastCost) + 2; sent > most {
			t.Errorf("%d broadcasts in %v s", sent, c.Now())
		}
	})
}
