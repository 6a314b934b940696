package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Parameters are those of one run, flattened as the state machine sees them,
// and "realtime".
type Parameters map[string]any

// Times of looking a run's parameters up.
const (
	lookingUp  = 2 * time.Second // for the monitor's answer
	lookedUp   = 5 * time.Second // before a monitor that did not answer is asked again
	appearing  = time.Minute     // for the record of an execution whose runner has much to tell
	keepParams = 16              // executions remembered
)

// number reads a number as JSON and TOML give it.
func (p Parameters) number(name string, fallback float64) float64 {
	switch n := p[name].(type) {
	case float64:
		return n
	case int64:
		return float64(n)
	case int:
		return float64(n)
	}
	return fallback
}

// whole reads a whole number that is at least least.
func (p Parameters) whole(name string, fallback, least int) int {
	return max(int(math.Min(p.number(name, float64(fallback)), 1e6)), least)
}

func (p Parameters) realtime() bool {
	real, ok := p["realtime"].(bool)
	return real || !ok
}

// notParameters are the sections of an execution's record that hold none.
var notParameters = []string{"workflow", "testbed", "agents", "source", "git_version", "daq_state_machine", "fast_processing"}

// flatten makes one table of the sections of an execution's record. The
// section of the fast agents wins, that of the state machine loses.
func flatten(sections map[string]any) Parameters {
	p := Parameters{"realtime": true}
	put := func(name string) {
		section, _ := sections[name].(map[string]any)
		maps.Copy(p, section)
	}
	put("daq_state_machine")
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		if !slices.Contains(notParameters, name) {
			put(name)
		}
	}
	put("fast_processing")
	p["realtime"] = true
	if workflow, ok := sections["workflow"].(map[string]any); ok {
		if real, ok := workflow["realtime"].(bool); ok {
			p["realtime"] = real
		}
	}
	return p
}

// lookups remembers the parameters of executions. It belongs to one goroutine.
type lookups struct {
	known map[string]Parameters
	order []string
	again time.Time // not before that is a silent monitor asked again

	missing string // an execution that the monitor does not know,
	since   time.Time
}

// parameters returns those of an execution: what the monitor has of it, else
// those of the testbed's own configuration.
func (b *Base) parameters(ctx context.Context, l *lookups, execution string) Parameters {
	if p, ok := l.known[execution]; ok {
		return p
	}
	if execution == "" || time.Now().Before(l.again) {
		return b.o.Parameters
	}
	ctx, cancel := context.WithTimeout(ctx, lookingUp)
	defer cancel()
	p, err := b.lookUp(ctx, l, execution)
	if p == nil {
		b.log.Warn("the run's parameters are not to be had from the monitor; the testbed's own count", "execution_id", execution, "err", err)
		l.again = time.Now().Add(lookedUp)
		return b.o.Parameters
	}
	return p
}

// parametersTold is parameters for the outbox, which has time: those of the
// testbed do for an execution that nobody makes known, not for one whose record
// is still on its way.
func (b *Base) parametersTold(ctx context.Context, l *lookups, execution string) (Parameters, error) {
	if p, ok := l.known[execution]; ok {
		return p, nil
	}
	if execution == "" {
		return b.o.Parameters, nil
	}
	p, err := b.lookUp(ctx, l, execution)
	if p != nil || err != nil {
		return p, err
	}
	if l.missing != execution {
		l.missing, l.since = execution, time.Now()
	}
	if time.Since(l.since) < appearing {
		return nil, later{fmt.Errorf("the monitor does not know execution %s yet", execution)}
	}
	return b.o.Parameters, nil
}

// lookUp asks the monitor; nil without an error is an execution without
// parameters, or none at all.
func (b *Base) lookUp(ctx context.Context, l *lookups, execution string) (Parameters, error) {
	x, err := b.o.Monitor.Execution(ctx, execution)
	if err != nil || x == nil {
		return nil, err
	}
	var sections map[string]any
	if json.Unmarshal(x.ParameterValues, &sections) != nil || len(sections) == 0 {
		return nil, nil
	}
	if l.known == nil {
		l.known = make(map[string]Parameters)
	}
	p := flatten(sections)
	l.known[execution] = p
	if l.order = append(l.order, execution); len(l.order) > keepParams {
		delete(l.known, l.order[0])
		l.order = l.order[1:]
	}
	return p, nil
}
