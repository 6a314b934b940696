package tools

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/epic-swf/testbed/swf"
)

const agentsDoc = `Lists workflow agents and agent managers, as they last reported themselves: yours (mine) and those in your namespaces, without exited ones unless asked for. For the programs of one testbed use get_testbed_status.`

const (
	maxAgents      = 100
	maxKnownAgents = 1000 // that a monitor lists
)

// AgentsIn is what list_agents takes.
type AgentsIn struct {
	Username  string `json:"username" kind:"username" doc:"Only this user's."`
	Namespace string `json:"namespace" kind:"namespace" doc:"Only in this namespace."`
	AgentType string `json:"agent_type" kind:"program" doc:"Only of this type, e.g. DATA."`
	Status    string `json:"status" enum:"running,stopped,exited,all" doc:"running: heard of in 2 min. Default: all but exited."`
	Limit     *int   `json:"limit" min:"1" max:"100" doc:"Default 20."`
}

// AgentRow is one agent or manager.
type AgentRow struct {
	Name          string     `json:"name"`
	Type          string     `json:"type"`
	Status        string     `json:"status" doc:"running, stopped or exited"`
	State         string     `json:"state" doc:"as it says"`
	Namespace     string     `json:"namespace,omitempty"`
	Host          string     `json:"host,omitempty"`
	PID           int        `json:"pid,omitempty"`
	LastHeartbeat *time.Time `json:"last_heartbeat"`
	Mine          bool       `json:"mine"`

	owner string
	age   time.Duration
}

func (a AgentRow) line() string {
	s := fmt.Sprintf("  %s (%s) %s", a.Name, a.Type, a.Status)
	if a.State != "" && a.Status != "exited" {
		s += ", " + a.State
	}
	if a.Namespace != "" {
		s += " in " + a.Namespace
	}
	if a.LastHeartbeat != nil {
		s += ", heard of " + ago(a.age) + " ago"
	}
	return s
}

// ListAgents lists the agents that the principal may see.
func (s *Set) ListAgents(ctx context.Context, p swf.Principal, in AgentsIn, _ func(string)) ListOut[AgentRow] {
	out := ListOut[AgentRow]{tool: "list_agents", whose: orElse(in.Username, p.Name)}
	if err := only(p, in.Username); err != nil {
		out.refuse(err)
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.ViewWait)
	defer cancel()
	c, err := s.scope(ctx, p)
	if err != nil {
		out.refuse(err)
		return out
	}
	var seen []AgentRow
	for i := range c.agents {
		if a := &c.agents[i]; c.sees(swf.AgentOwner(a.InstanceName), deref(a.Namespace)) {
			seen = append(seen, s.agentRow(a, p))
		}
	}
	slices.SortStableFunc(seen, func(a, b AgentRow) int {
		return cmp.Or(latestFirst(a.LastHeartbeat, b.LastHeartbeat), strings.Compare(a.Name, b.Name))
	})
	filters := in.sieve()
	found, limit := filters.of(seen), limitOf(in.Limit)
	total := len(found)
	if len(c.agents) >= maxKnownAgents {
		total = -1
	}
	out.show(found, total, limit)
	out.more(limit, maxAgents, "namespace, agent_type or status")
	if len(found) == 0 {
		out.Note = filters.why(seen, "agents", "Nothing has run yet, or not where this monitor hears of it: start_user_testbed starts agents.")
	}
	return out
}

func (in *AgentsIn) sieve() sieve[AgentRow] {
	var s sieve[AgentRow]
	s.by("username", in.Username, func(a *AgentRow) bool { return a.owner == in.Username })
	s.by("namespace", in.Namespace, func(a *AgentRow) bool { return a.Namespace == in.Namespace })
	s.by("agent_type", in.AgentType, func(a *AgentRow) bool { return strings.EqualFold(a.Type, in.AgentType) })
	switch in.Status {
	case "all":
	case "":
		s.by("status", "not exited (status=all shows them)", func(a *AgentRow) bool { return a.Status != "exited" })
	default:
		s.by("status", in.Status, func(a *AgentRow) bool { return a.Status == in.Status })
	}
	return s
}

func (s *Set) agentRow(a *swf.Agent, p swf.Principal) AgentRow {
	r := AgentRow{Name: clean(a.InstanceName, 128), Type: clean(a.AgentType, 64), Status: "stopped", State: clean(a.OperationalState, 64),
		Namespace: clean(deref(a.Namespace), 128), Host: clean(deref(a.Hostname), 256), owner: swf.AgentOwner(a.InstanceName)}
	r.Mine = r.owner == p.Name
	if a.PID != nil {
		r.PID = *a.PID
	}
	if a.LastHeartbeat != nil {
		r.LastHeartbeat = &a.LastHeartbeat.Time
		r.age = max(0, s.o.Now().Sub(a.LastHeartbeat.Time))
		if r.age <= agentFresh {
			r.Status = "running"
		}
	}
	if exited(a) {
		r.Status = "exited"
	}
	return r
}
