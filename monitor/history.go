package monitor

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// Page is a part of a list, and how long the whole is. The Django monitor
// knows neither limits nor most filters: it gives all, so Page is then cut here
// and Total is what came.
type Page[T any] struct {
	Items []T
	Total int
}

// More reports whether there is more than this page and what lies before it.
func (p Page[T]) More(offset int) bool { return offset+len(p.Items) < p.Total }

// LogFilter selects log records; zero values select all.
type LogFilter struct {
	App, Instance string
	ExecutionID   string
	MinLevel      int    // a Python logging level
	Search        string // in the message, letters in either case
	Since, Before time.Time
}

// Logs returns at most limit log records after the first offset ones, newest
// first.
func (c *Client) Logs(ctx context.Context, f LogFilter, limit, offset int) (Page[swf.LogEntry], error) {
	q := filter("app_name", f.App, "instance_name", f.Instance, "execution_id", f.ExecutionID, "search", f.Search,
		"since", stampOr(f.Since), "before", stampOr(f.Before))
	if f.MinLevel > 0 {
		q.Set("level_min", strconv.Itoa(f.MinLevel))
	}
	return page[swf.LogEntry](ctx, c, "logs/", q, limit, offset)
}

// MessageFilter selects recorded bus messages; zero values select all.
type MessageFilter struct {
	ExecutionID, Namespace, Type, Sender, RunID string

	Since, Before time.Time
}

// Messages returns at most limit recorded messages after the first offset
// ones: of one execution oldest first, else newest first.
func (c *Client) Messages(ctx context.Context, f MessageFilter, limit, offset int) (Page[swf.RecordedMessage], error) {
	q := filter("execution_id", f.ExecutionID, "namespace", f.Namespace, "message_type", f.Type, "sender_agent", f.Sender,
		"run_id", f.RunID, "since", stampOr(f.Since), "before", stampOr(f.Before))
	return page[swf.RecordedMessage](ctx, c, "workflow-messages/", q, limit, offset)
}

// ExecutionPage returns at most limit executions after the first offset ones,
// newest first.
func (c *Client) ExecutionPage(ctx context.Context, f Filter, limit, offset int) (Page[swf.Execution], error) {
	q := filter("status", f.Status, "namespace", f.Namespace, "executed_by", f.ExecutedBy, "since", stampOr(f.Since), "before", stampOr(f.Before))
	return page[swf.Execution](ctx, c, "workflow-executions/", q, limit, offset)
}

// AgentPage returns at most limit agents after the first offset ones, the last
// heard first; namespace "" is any.
func (c *Client) AgentPage(ctx context.Context, namespace string, limit, offset int) (Page[swf.Agent], error) {
	return page[swf.Agent](ctx, c, "systemagents/", filter("namespace", namespace), limit, offset)
}

// StateEvents returns at most limit events of a run after the first offset
// ones, newest first; eventType "" is any.
func (c *Client) StateEvents(ctx context.Context, runNumber int64, eventType string, limit, offset int) (Page[swf.StateEvent], error) {
	q := filter("run_number", strconv.FormatInt(runNumber, 10), "event_type", eventType)
	return page[swf.StateEvent](ctx, c, "system-state-events/", q, limit, offset)
}

// page reads a part of a list. A monitor that ignores limits answers without
// X-Total-Count: its list is cut here.
func page[T any](ctx context.Context, c *Client, path string, q url.Values, limit, offset int) (Page[T], error) {
	var raw json.RawMessage
	var header http.Header
	if err := c.do(ctx, call{method: http.MethodGet, path: path, query: paged(q, limit, offset), out: &raw, header: &header}); err != nil {
		return Page[T]{}, err
	}
	items, err := decodeList[T](c, path, raw)
	if err != nil {
		return Page[T]{}, err
	}
	if total, err := strconv.Atoi(header.Get("X-Total-Count")); err == nil {
		return Page[T]{Items: items, Total: total}, nil
	}
	total := len(items)
	items = items[min(offset, total):]
	if limit > 0 {
		items = items[:min(limit, len(items))]
	}
	return Page[T]{Items: items, Total: total}, nil
}

// paged adds limit and offset to a query, where they say anything.
func paged(q url.Values, limit, offset int) url.Values {
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
		if offset > 0 {
			q.Set("offset", strconv.Itoa(offset))
		}
	}
	return q
}

func stampOr(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}
