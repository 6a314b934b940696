package workflows

import (
	"context"
	"fmt"
	"os"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows/sim"
)

// player plays one machine on a clock. It is a sim.Process.
type player struct {
	machine *machine
	values  map[string]float64
	texts   map[string]string                 // what the machine's own {names} stand for
	run     string                            // run number, names the files
	enter   func(state, substate string)      // a state is entered
	send    func(context.Context, step) error // one broadcast, see message
	folder  func(path string) error           // makes one
	files   int                               // STFs so far, over all periods
}

// newPlayer returns a player of a run's machine, whose parameters are complete.
func newPlayer(s config.Sources, run *config.Run, getenv func(string) string) (p player, err error) {
	if p.machine, err = find(s, run.Workflow); err != nil {
		return p, err
	}
	if p.values, err = p.machine.numbers(run.Values); err != nil {
		return p, err
	}
	p.texts, err = p.machine.texts(run.Values, getenv)
	return p, err
}

// play goes through the whole table.
func (p *player) play(ctx context.Context, c *sim.Clock) error {
	if err := p.steps(ctx, c, p.machine.Opening); err != nil {
		return err
	}
	periods := int(p.values[p.machine.Periods])
	for n := 0; periods == 0 || n < periods; n++ {
		begin := c.Now()
		enter := p.machine.Standby
		if n == 0 {
			enter = p.machine.Begin
		}
		if err := p.steps(ctx, c, enter); err != nil {
			return err
		}
		if err := p.period(ctx, c); err != nil {
			return err
		}
		if periods != 1 && c.Now() == begin {
			return swf.E(swf.CodeInvalidConfig, "a period of the workflow takes no time, so that its run might have no end",
				"let a step send or wait, or give "+p.machine.Periods+" = 1")
		}
	}
	return p.steps(ctx, c, p.machine.Closing)
}

// period makes the STFs of one physics period: a given number, or as many as
// begin within its length. There is no gap after the last one.
func (p *player) period(ctx context.Context, c *sim.Clock) error {
	count, begin := int(p.values[p.machine.Count]), c.Now()
	more := func(made int) bool {
		switch {
		case len(p.machine.Each) == 0:
			return false
		case count > 0:
			return made < count
		}
		return c.Now()-begin < p.values[p.machine.Length]
	}
	for made := 0; more(made); {
		p.files++
		if err := p.steps(ctx, c, p.machine.Each); err != nil {
			return err
		}
		if made++; !more(made) {
			break
		}
		if err := c.Sleep(ctx, p.values[p.machine.Gap]); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) steps(ctx context.Context, c *sim.Clock, steps []step) error {
	for _, s := range steps {
		if err := p.step(ctx, c, s); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) step(ctx context.Context, c *sim.Clock, s step) error {
	p.enter(s.State, s.Substate)
	if s.Make != "" {
		if err := p.folder(p.filled(s.Make)); err != nil {
			return err
		}
	}
	if s.Send != "" {
		if err := p.send(ctx, s); err != nil {
			return err
		}
		if err := c.Sleep(ctx, broadcastCost); err != nil {
			return err
		}
	}
	for _, w := range s.Wait {
		if err := c.Sleep(ctx, p.values[w]); err != nil {
			return err
		}
	}
	return nil
}

// filled is a text of the machine as it reads at this moment.
func (p *player) filled(text string) string { return fill(text, p.named) }

// named is what a {name} of the machine stands for.
func (p *player) named(name string) string {
	if text, ok := p.texts[name]; ok {
		return fill(text, p.builtin)
	}
	return p.builtin(name)
}

// builtin is what a {name} stands for in every machine.
func (p *player) builtin(name string) string {
	switch name {
	case "run":
		return p.run
	case "file":
		return p.file()
	}
	return "{" + name + "}" // as it is
}

func (p *player) file() string { return fmt.Sprintf("swf.%s.%06d.stf", p.run, p.files) }

// message makes the part of a broadcast that the table decides.
func (p *player) message(s step) swf.Message {
	m := swf.Message{"msg_type": s.Send}
	if !s.Bare {
		m["state"], m["substate"] = s.State, s.Substate
	}
	for k, v := range s.Fields {
		m[k] = p.filled(v)
	}
	switch s.Send {
	case swf.MsgSTFGen:
		m["filename"], m["sequence"] = p.file(), p.files
	case swf.MsgEndRun:
		m["total_stf_files"] = p.files
	}
	return m
}

// makeFolder makes a folder of a run, and those above it.
func makeFolder(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("make the run's folder: %w", err)
	}
	return nil
}

// writeFile writes a broadcast, as far as it does not say who sends it.
func writeFile(path string, m swf.Message) error {
	body, err := m.Encode()
	if err == nil {
		err = os.WriteFile(path, append(body, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the STF file: %w", err)
	}
	return nil
}
