package workflows

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/epic-swf/testbed/agents"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/workflows/sim"
)

// outlined is how much of a run an Outline looks at, in simulated seconds.
const outlined = 3600

// Outline is what a run of a configuration would be, found by playing it where
// nobody hears it.
type Outline struct {
	Workflow string  `json:"workflow"`
	Config   string  `json:"config"`
	Seconds  float64 `json:"seconds"` // simulated
	Endless  bool    `json:"endless"` // longer than an hour; the counts are those of the first
	STFs     int     `json:"stf_count"`
	Messages int     `json:"messages"`
	Samples  int     `json:"samples"` // if fastmon is enabled
	Slices   int     `json:"slices"`  // if fast processing is
}

// String tells it in one line.
func (o Outline) String() string {
	length := "in " + strconv.FormatFloat(o.Seconds, 'f', -1, 64) + " s"
	if o.Endless {
		length = "in the first hour"
	}
	text := fmt.Sprintf("workflow %s with %s: %d messages, %d STFs %s", o.Workflow, o.Config, o.Messages, o.STFs, length)
	if o.Samples > 0 {
		text += fmt.Sprintf("; %d samples, %d slices", o.Samples, o.Slices)
	}
	return text
}

// Validate checks that a run would begin, of t's own workflow where req names
// none, and outlines it. getenv nil is os.Getenv. Errors are *swf.Error: those of config.ResolveRun,
// unknown_workflow, and invalid_config for its steps and their parameters.
func Validate(ctx context.Context, s config.Sources, t *config.Testbed, req config.RunRequest, getenv func(string) string) (Outline, error) {
	if getenv == nil {
		getenv = os.Getenv
	}
	run, err := config.ResolveRun(s, t, req)
	if err != nil {
		return Outline{}, err
	}
	p, err := newPlayer(s, run, getenv)
	if err != nil {
		return Outline{}, err
	}
	o := Outline{Workflow: run.Workflow, Config: run.ConfigName}
	p.run = "0"
	p.enter, p.folder = func(string, string) {}, func(string) error { return nil }
	p.send = func(context.Context, step) error { o.Messages++; return nil }
	c := sim.New(sim.Options{Limit: outlined})
	if err := c.Run(ctx, p.play); errors.Is(err, sim.ErrLimit) {
		o.Endless = true
	} else if err != nil {
		return o, err
	}
	o.STFs, o.Seconds = p.files, c.Now()
	if _, sampled := run.Sections["fast_processing"]; sampled {
		o.Samples, o.Slices = agents.Implied(agents.Parameters(run.Values), o.STFs)
	}
	return o, nil
}
