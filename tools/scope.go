package tools

import (
	"context"
	"slices"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// scope is what a principal may see in lists: what is its own, and what
// others do in the namespaces that it works in (design, 4b.13). An operator
// sees everything. What lies outside is as if it did not exist.
type scope struct {
	principal  swf.Principal
	agents     []swf.Agent       // all that the monitor knows
	namespaces []string          // in which the principal works or has worked
	namespace  map[string]string // of each agent, by its name
}

// scope asks the monitor what the principal's namespaces are.
func (s *Set) scope(ctx context.Context, p swf.Principal) (*scope, *swf.Error) {
	c := &scope{principal: p}
	var err error
	if c.agents, err = s.o.Monitor.Agents(ctx); err != nil {
		return nil, monitorError(err)
	}
	if p.Operator {
		return c, nil
	}
	c.namespace = make(map[string]string, len(c.agents))
	c.learn(c.agents)
	mine, err := s.o.Monitor.ExecutionPage(ctx, monitor.Filter{ExecutedBy: p.Name}, maxExecutions, 0)
	if err != nil {
		return nil, monitorError(err)
	}
	for i := range mine.Items {
		if mine.Items[i].ExecutedBy == p.Name {
			c.enter(mine.Items[i].Namespace)
		}
	}
	if len(c.agents) >= maxKnownAgents {
		err = s.lookCloser(ctx, c)
	}
	if err != nil {
		return nil, monitorError(err)
	}
	return c, nil
}

// lookCloser asks for what the principal may see where the monitor knows more
// agents than it lists: those that beat last need not be the principal's.
func (s *Set) lookCloser(ctx context.Context, c *scope) error {
	manager, err := s.o.Monitor.Agent(ctx, swf.ManagerInstance(c.principal.Name))
	if err != nil {
		return err
	}
	if manager != nil {
		c.enter(manager.Namespace)
		if _, listed := c.namespace[manager.InstanceName]; !listed {
			c.agents = append(c.agents, *manager)
			c.learn(c.agents[len(c.agents)-1:])
		}
	}
	for _, namespace := range slices.Clone(c.namespaces) {
		near, err := s.o.Monitor.AgentsIn(ctx, namespace)
		if err != nil {
			return err
		}
		near = slices.DeleteFunc(near, func(a swf.Agent) bool { _, listed := c.namespace[a.InstanceName]; return listed })
		c.agents = append(c.agents, near...)
		c.learn(near)
	}
	return nil
}

// learn notes where agents are, and which namespaces are the principal's.
func (c *scope) learn(agents []swf.Agent) {
	for i := range agents {
		c.namespace[agents[i].InstanceName] = deref(agents[i].Namespace)
		if swf.AgentOwner(agents[i].InstanceName) == c.principal.Name {
			c.enter(agents[i].Namespace)
		}
	}
}

// enter adds a namespace. Their number is bounded like every list.
func (c *scope) enter(namespace *string) {
	if namespace != nil && *namespace != "" && len(c.namespaces) < maxList && !slices.Contains(c.namespaces, *namespace) {
		c.namespaces = append(c.namespaces, *namespace)
	}
}

// sees decides about one thing, by whose it is and its namespace; "" is not
// known.
func (c *scope) sees(owner, namespace string) bool {
	return c.principal.Operator || owner == c.principal.Name || (namespace != "" && slices.Contains(c.namespaces, namespace))
}

// seesAgent is sees for what an agent of that name has said.
func (c *scope) seesAgent(instance string) bool {
	return c.sees(swf.AgentOwner(instance), c.namespace[instance])
}
