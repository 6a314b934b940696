package workflows

import (
	"context"
	"fmt"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows/sim"
)

// player plays one machine on a clock. It is a sim.Process.
type player struct {
	machine machine
	values  map[string]float64
	run     string                             // run number, names the files
	enter   func(state, substate string)       // a state is entered
	send    func(context.Context, swf.Message) // one broadcast
	files   int                                // STFs so far, over all periods
}

// play goes through the whole table.
func (p *player) play(ctx context.Context, c *sim.Clock) error {
	if err := p.steps(ctx, c, p.machine.opening); err != nil {
		return err
	}
	periods := int(p.values[p.machine.periods])
	for n := 0; periods == 0 || n < periods; n++ {
		enter := p.machine.standby
		if n == 0 {
			enter = []step{p.machine.start}
		}
		if err := p.steps(ctx, c, enter); err != nil {
			return err
		}
		if err := p.period(ctx, c); err != nil {
			return err
		}
	}
	return p.steps(ctx, c, p.machine.closing)
}

// period makes the STFs of one physics period: a given number, or as many as
// begin within its length. There is no gap after the last one.
func (p *player) period(ctx context.Context, c *sim.Clock) error {
	count, begin := int(p.values[p.machine.count]), c.Now()
	more := func(made int) bool {
		if count > 0 {
			return made < count
		}
		return c.Now()-begin < p.values[p.machine.length]
	}
	for made := 0; more(made); {
		p.files++
		if err := p.step(ctx, c, p.machine.file); err != nil {
			return err
		}
		if made++; !more(made) {
			break
		}
		if err := c.Sleep(ctx, p.values[p.machine.gap]); err != nil {
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
	p.enter(s.state, s.substate)
	if s.send != "" {
		p.send(ctx, p.message(s))
		if err := c.Sleep(ctx, broadcastCost); err != nil {
			return err
		}
	}
	for _, w := range s.wait {
		if err := c.Sleep(ctx, p.values[w]); err != nil {
			return err
		}
	}
	return nil
}

// message makes the part of a broadcast that the table decides.
func (p *player) message(s step) swf.Message {
	m := swf.Message{"msg_type": s.send}
	if !s.bare {
		m["state"], m["substate"] = s.state, s.substate
	}
	for k, v := range s.fields {
		m[k] = v
	}
	switch s.send {
	case swf.MsgSTFGen:
		m["filename"], m["sequence"] = fmt.Sprintf("swf.%s.%06d.stf", p.run, p.files), p.files
	case swf.MsgEndRun:
		m["total_stf_files"] = p.files
	}
	return m
}
