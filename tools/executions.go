package tools

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

const executionsDoc = `Lists workflow executions, latest first: yours (mine) and those in your namespaces, of the last 24 hours unless hours says otherwise. Details of one: get_workflow_execution.`

const (
	maxExecutions = 100
	defaultHours  = 24
)

// ExecutionsIn is what list_workflow_executions takes.
type ExecutionsIn struct {
	Username     string `json:"username" kind:"username" doc:"Only this user's."`
	Namespace    string `json:"namespace" kind:"namespace" doc:"Only in this namespace."`
	WorkflowName string `json:"workflow_name" kind:"workflow_name" doc:"Only of this workflow."`
	Status       string `json:"status" enum:"running,completed,failed,terminated,lost" doc:"Only these."`
	Hours        *int   `json:"hours" min:"1" max:"87600" doc:"Started in the last so many; default 24. All that still run are shown."`
	Limit        *int   `json:"limit" min:"1" max:"100" doc:"Default 20."`
}

// ExecutionRow is one workflow run in a list.
type ExecutionRow struct {
	ExecutionID string     `json:"execution_id"`
	Status      string     `json:"status"`
	Namespace   string     `json:"namespace,omitempty"`
	ExecutedBy  string     `json:"executed_by"`
	Mine        bool       `json:"mine"`
	StartTime   time.Time  `json:"start_time"`
	EndTime     *time.Time `json:"end_time,omitempty"`
}

func (e ExecutionRow) line() string {
	s := fmt.Sprintf("  %s %s, started %s", e.ExecutionID, e.Status, stamp(e.StartTime))
	if e.EndTime != nil {
		s += ", took " + ago(e.EndTime.Sub(e.StartTime))
	}
	if e.Namespace != "" {
		s += ", in " + e.Namespace
	}
	if !e.Mine {
		s += ", of " + e.ExecutedBy
	}
	return s
}

// stamp is a time as texts show it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// ListExecutions lists the executions that the principal may see.
func (s *Set) ListExecutions(ctx context.Context, p swf.Principal, in ExecutionsIn, _ func(string)) ListOut[ExecutionRow] {
	out := ListOut[ExecutionRow]{tool: "list_workflow_executions", whose: orElse(in.Username, p.Name)}
	if err := only(p, in.Username); err != nil {
		out.refuse(err)
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.PingWait)
	defer cancel()
	seen, err := s.executions(ctx, p, monitor.Filter{ExecutedBy: in.Username, Namespace: in.Namespace, Status: in.Status})
	if err != nil {
		out.refuse(err)
		return out
	}
	filters := in.sieve(s.o.Now())
	found, limit := filters.of(seen), limitOf(in.Limit)
	out.show(found, len(found), limit)
	out.more(limit, maxExecutions, "status, workflow_name or hours")
	if len(found) > 0 {
		return out
	}
	if seen, err = s.executions(ctx, p, monitor.Filter{}); err == nil {
		out.Note = filters.why(seen, "executions", "start_workflow begins one.")
	}
	return out
}

// executions asks for what passes the filter and keeps what the principal may
// see, latest first. The monitor bounds each of its lists.
func (s *Set) executions(ctx context.Context, p swf.Principal, f monitor.Filter) ([]ExecutionRow, *swf.Error) {
	c, refused := s.scope(ctx, p)
	if refused != nil {
		return nil, refused
	}
	asks := []monitor.Filter{f}
	if !p.Operator && f.ExecutedBy == "" && f.Namespace == "" {
		mine := f
		mine.ExecutedBy = p.Name
		asks = []monitor.Filter{mine}
		for _, n := range c.namespaces[:min(len(c.namespaces), 8)] {
			in := f
			in.Namespace = n
			asks = append(asks, in)
		}
	}
	var seen []ExecutionRow
	known := make(map[string]bool)
	for _, ask := range asks {
		list, err := s.o.Monitor.Executions(ctx, ask)
		if err != nil {
			return nil, monitorError(err)
		}
		for i := range list {
			e := &list[i]
			if c.sees(e.ExecutedBy, deref(e.Namespace)) && !known[e.ExecutionID] {
				known[e.ExecutionID] = true
				seen = append(seen, executionRow(e, p))
			}
		}
	}
	slices.SortStableFunc(seen, func(a, b ExecutionRow) int {
		return cmp.Or(b.StartTime.Compare(a.StartTime), strings.Compare(a.ExecutionID, b.ExecutionID))
	})
	return seen, nil
}

func executionRow(e *swf.Execution, p swf.Principal) ExecutionRow {
	r := ExecutionRow{ExecutionID: clean(e.ExecutionID, 128), Status: clean(e.Status, 64), Namespace: clean(deref(e.Namespace), 128),
		ExecutedBy: clean(e.ExecutedBy, 128), Mine: e.ExecutedBy == p.Name, StartTime: e.StartTime.Time}
	if e.EndTime != nil {
		r.EndTime = &e.EndTime.Time
	}
	return r
}

func (in *ExecutionsIn) sieve(now time.Time) sieve[ExecutionRow] {
	var s sieve[ExecutionRow]
	s.by("username", in.Username, func(e *ExecutionRow) bool { return e.ExecutedBy == in.Username })
	s.by("namespace", in.Namespace, func(e *ExecutionRow) bool { return e.Namespace == in.Namespace })
	s.by("workflow_name", in.WorkflowName, func(e *ExecutionRow) bool { return strings.HasPrefix(e.ExecutionID, in.WorkflowName+"-") })
	s.by("status", in.Status, func(e *ExecutionRow) bool { return e.Status == in.Status })
	hours := defaultHours
	if in.Hours != nil {
		hours = *in.Hours
	}
	since := now.Add(-time.Duration(hours) * time.Hour)
	s.by("hours", fmt.Sprint(hours), func(e *ExecutionRow) bool {
		return e.StartTime.After(since) || e.Status == swf.ExecutionRunning
	})
	return s
}
