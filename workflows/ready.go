package workflows

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// agentKinds maps the names of [agents.NAME] to the agent_type they beat as,
// for agents that do not say which program they are.
var agentKinds = map[string]string{
	"data": "DATA", "processing": "STF_Processing", "fastmon": "fastmon", "fast_processing": "Fast_Processing",
	"worker": "Worker", "stf-data": "DATA", "stf-processing": "PROCESSING",
}

// freshFor is how old a heartbeat may be that tells no start id: the Python
// agents beat once a minute.
const freshFor = 95 * time.Second

// awaitAgents waits until each enabled agent of this start has told the
// monitor that it is ready. An agent that does not, or a silent monitor, costs
// a warning, not the run. Without a monitor nobody sees the agents: those that
// were started together with this runner get the same time to begin to listen.
func (x *execution) awaitAgents(ctx context.Context) {
	r := x.runner
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		agents, err := r.o.Monitor.Agents(ctx)
		missing := r.missing(agents)
		switch {
		case err != nil && ctx.Err() == nil && (len(r.missing(nil)) == 0 || time.Since(r.born) > readyTime):
			x.log.Warn("cannot see whether the agents are ready; the run goes on", "err", err)
			return
		case err == nil && len(missing) == 0:
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if context.Cause(ctx) == context.DeadlineExceeded {
				x.log.Warn("not all agents are ready; the run goes on without them", "missing", strings.Join(missing, ", "))
			}
			return
		}
	}
}

// missing names the enabled agents that are not among the ready ones.
func (r *Runner) missing(agents []swf.Agent) []string {
	var names []string
	for _, want := range r.o.Testbed.Agents {
		if !want.Enabled {
			continue
		}
		found := slices.ContainsFunc(agents, func(a swf.Agent) bool { return r.isReady(a, want.Name, want.Program) })
		if !found {
			names = append(names, want.Name)
		}
	}
	return names
}

// isReady reports whether a is the named agent of this very start and ready.
func (r *Runner) isReady(a swf.Agent, name, program string) bool {
	if a.OperationalState != swf.OpReady && a.OperationalState != swf.OpProcessing {
		return false
	}
	if a.Namespace == nil || *a.Namespace != r.o.Namespace || !strings.Contains(a.InstanceName, "-agent-"+r.o.Username+"-") {
		return false
	}
	var told struct {
		StartID string `json:"start_id"`
		Program string `json:"program"`
	}
	_ = json.Unmarshal(a.Metadata, &told) // the Django monitor keeps no metadata
	if told.Program != "" {
		if told.Program != program {
			return false
		}
	} else if a.AgentType != agentKinds[name] {
		return false
	}
	if told.StartID != "" || r.o.StartID == "" {
		return told.StartID == r.o.StartID
	}
	return a.LastHeartbeat != nil && time.Since(a.LastHeartbeat.Time) < freshFor
}
