package tools

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// maxCompletions is how many values a client may be given (MCP).
const maxCompletions = 100

// Completion is what an argument may go on to be.
type Completion struct {
	Values []string
	Total  int // 0: not counted
	More   bool
}

// Complete returns the names of a kind that begin with value and that the
// principal may use: usernames, configurations of the testbed of username (""
// is the principal's) and executions, latest first. Whatever cannot be found
// out completes nothing.
func (s *Set) Complete(ctx context.Context, p swf.Principal, kind swf.Kind, value, username string) Completion {
	if swf.CheckName(swf.KindUsername, p.Name) != nil || len(value) > 128 || s.limiter.enter(p.Name) != nil {
		return Completion{}
	}
	defer s.limiter.leave(p.Name)
	ctx, cancel := context.WithTimeout(ctx, s.o.PingWait)
	defer cancel()
	var names []string
	more := false
	switch kind {
	case swf.KindUsername:
		names = s.usernames(ctx, p)
	case swf.KindConfig:
		if user, err := target(p, username); err == nil && s.o.Configs != nil {
			names = s.o.Configs(user)
		}
	case swf.KindExecution:
		begins := sieve[ExecutionRow]{{keep: func(e *ExecutionRow) bool { return strings.HasPrefix(e.ExecutionID, value) }}}
		seen, err := s.executions(ctx, p, []monitor.Filter{{}}, begins)
		if err != nil {
			return Completion{}
		}
		more = seen.total < 0
		for _, e := range seen.items {
			names = append(names, e.ExecutionID)
		}
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !strings.HasPrefix(name, value) || swf.CheckName(kind, name) != nil
	})
	c := Completion{Values: names[:min(len(names), maxCompletions)], Total: len(names), More: more || len(names) > maxCompletions}
	if more {
		c.Total = 0
	}
	return c
}

// usernames are the principal's own, and for an operator those whose managers
// and agents the monitor has heard of.
func (s *Set) usernames(ctx context.Context, p swf.Principal) []string {
	users := map[string]bool{p.Name: true}
	if p.Operator {
		agents, _ := s.o.Monitor.Agents(ctx) // without the monitor there is one's own
		for i := range agents {
			if name := swf.AgentOwner(agents[i].InstanceName); name != "" {
				users[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(users))
}
