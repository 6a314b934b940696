package agents

import (
	"context"
	"encoding/json"
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
	x, err := b.o.Monitor.Execution(ctx, execution)
	var sections map[string]any
	if err == nil && x != nil {
		err = json.Unmarshal(x.ParameterValues, &sections)
	}
	if err != nil || x == nil || len(sections) == 0 {
		b.log.Warn("the run's parameters are not to be had from the monitor; the testbed's own count", "execution_id", execution, "err", err)
		l.again = time.Now().Add(lookedUp)
		return b.o.Parameters
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
	return p
}
