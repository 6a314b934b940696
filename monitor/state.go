package monitor

import (
	"context"
	"errors"
	"net/http"
)

// NextAgentID returns the next agent id; the first is 1.
func (c *Client) NextAgentID(ctx context.Context) (int64, error) {
	return c.next(ctx, "state/next-agent-id/", "agent_id", nil)
}

// NextRunNumber returns the next run number; the first is 100010.
func (c *Client) NextRunNumber(ctx context.Context) (int64, error) {
	return c.next(ctx, "state/next-run-number/", "run_number", nil)
}

// NextExecutionSequence returns the next number for an execution id; the first
// is 1. All workflows share one sequence.
func (c *Client) NextExecutionSequence(ctx context.Context, workflow string) (int64, error) {
	return c.next(ctx, "state/next-workflow-execution-id/", "sequence", map[string]string{"workflow_name": workflow})
}

func (c *Client) next(ctx context.Context, path, field string, body any) (int64, error) {
	var out map[string]any
	if err := c.do(ctx, call{method: http.MethodPost, path: path, body: body, out: &out}); err != nil {
		return 0, err
	}
	n, ok := out[field].(float64)
	if !ok || out["status"] != "success" {
		return 0, c.unavailable(errors.New("its allocator gave no number"))
	}
	return int64(n), nil
}

// EnsureNamespace makes the namespace unless there is one; an existing one
// keeps its owner.
func (c *Client) EnsureNamespace(ctx context.Context, name, owner, description string) error {
	return c.do(ctx, call{method: http.MethodPost, path: "namespaces/ensure/", body: map[string]string{
		"name": name, "owner": owner, "description": description}})
}
