package monitor

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// FindDefinition returns the definition of that name and version, nil when
// there is none.
func (c *Client) FindDefinition(ctx context.Context, name, version string) (*swf.Definition, error) {
	found, err := list[swf.Definition](ctx, c, "workflow-definitions/", filter("workflow_name", name, "version", version))
	if err != nil {
		return nil, err
	}
	for i := range found {
		if found[i].WorkflowName == name && found[i].Version == version {
			return &found[i], nil
		}
	}
	return nil, nil
}

// CreateDefinition posts a definition and returns it with its id.
func (c *Client) CreateDefinition(ctx context.Context, d swf.Definition) (*swf.Definition, error) {
	body := map[string]any{"workflow_name": d.WorkflowName, "version": d.Version, "workflow_type": d.WorkflowType,
		"definition": d.Definition, "parameter_values": objectOr(d.ParameterValues), "created_by": d.CreatedBy}
	var out swf.Definition
	return result(&out, c.do(ctx, call{method: http.MethodPost, path: "workflow-definitions/", body: body, out: &out}))
}

// CreateExecution posts an execution.
func (c *Client) CreateExecution(ctx context.Context, e swf.Execution) (*swf.Execution, error) {
	body := map[string]any{"execution_id": e.ExecutionID, "workflow_definition": e.WorkflowDefinition,
		"namespace": e.Namespace, "status": e.Status, "executed_by": e.ExecutedBy, "start_time": e.StartTime,
		"parameter_values": objectOr(e.ParameterValues)}
	if e.EndTime != nil {
		body["end_time"] = e.EndTime
	}
	if len(e.PerformanceMetrics) > 0 {
		body["performance_metrics"] = e.PerformanceMetrics
	}
	var out swf.Execution
	return result(&out, c.do(ctx, call{method: http.MethodPost, path: "workflow-executions/", body: body, out: &out}))
}

// PatchExecution changes fields of an execution.
func (c *Client) PatchExecution(ctx context.Context, id string, fields map[string]any) error {
	return c.do(ctx, call{method: http.MethodPatch, path: "workflow-executions/" + url.PathEscape(id) + "/", body: fields})
}

// Execution returns the execution of that id, nil when there is none.
func (c *Client) Execution(ctx context.Context, id string) (*swf.Execution, error) {
	if id == "" {
		return nil, nil
	}
	var out swf.Execution
	found, err := c.get(ctx, "workflow-executions/"+url.PathEscape(id)+"/", &out)
	if !found {
		return nil, err
	}
	return &out, nil
}

// Filter selects executions; zero values select all. Since and Before are about
// the start; the Django monitor ignores them.
type Filter struct {
	Status, Namespace, ExecutedBy string

	Since, Before time.Time
}

// Executions returns executions, newest first.
func (c *Client) Executions(ctx context.Context, f Filter) ([]swf.Execution, error) {
	return list[swf.Execution](ctx, c, "workflow-executions/",
		filter("status", f.Status, "namespace", f.Namespace, "executed_by", f.ExecutedBy, "since", stampOr(f.Since), "before", stampOr(f.Before)))
}

// objectOr is raw, or {} where the contract wants an object and there is none.
func objectOr(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("{}")
	}
	return raw
}

func result[T any](out *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return out, nil
}
