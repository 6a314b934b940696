package monitor

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// Heartbeat tells the monitor that an agent is alive, and how.
func (c *Client) Heartbeat(ctx context.Context, h swf.Heartbeat) error {
	return c.do(ctx, call{method: http.MethodPost, path: "systemagents/heartbeat/", body: h, again: true})
}

// Agents returns the agents that the monitor knows, the exited ones too. Our
// own monitor gives the 1000 that beat last.
func (c *Client) Agents(ctx context.Context) ([]swf.Agent, error) {
	return list[swf.Agent](ctx, c, "systemagents/", nil)
}

// AgentsIn returns the agents of one namespace.
func (c *Client) AgentsIn(ctx context.Context, namespace string) ([]swf.Agent, error) {
	agents, err := list[swf.Agent](ctx, c, "systemagents/", filter("namespace", namespace))
	return slices.DeleteFunc(agents, func(a swf.Agent) bool {
		return a.Namespace == nil || *a.Namespace != namespace
	}), err
}

// Agent returns the agent of that instance name, nil when there is none.
func (c *Client) Agent(ctx context.Context, instance string) (*swf.Agent, error) {
	agents, err := list[swf.Agent](ctx, c, "systemagents/", filter("instance_name", instance))
	if err != nil {
		return nil, err
	}
	for i := range agents {
		if agents[i].InstanceName == instance {
			return &agents[i], nil
		}
	}
	return nil, nil
}

// RegisterSubscriber records who listens to what. One that exists already is a
// success.
func (c *Client) RegisterSubscriber(ctx context.Context, name, description string) error {
	err := c.do(ctx, call{method: http.MethodPost, path: "subscribers/", body: map[string]any{
		"subscriber_name": name, "description": description, "is_active": true, "fraction": 1.0}})
	var status *StatusError
	if errors.As(err, &status) && status.Status == http.StatusBadRequest {
		text := strings.ToLower(status.Body)
		if strings.Contains(text, "already exists") && strings.Contains(text, "subscriber") {
			return nil
		}
	}
	return err
}

// PostLog posts one log record, to the address for logs and without the token.
func (c *Client) PostLog(ctx context.Context, e swf.LogEntry) error {
	e.ID = 0
	return c.do(ctx, call{method: http.MethodPost, path: "logs/", body: e, log: true})
}
