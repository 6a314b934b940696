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
	ctx, cancel := context.WithTimeout(ctx, s.o.ViewWait)
	defer cancel()
	filters, limit := in.sieve(s.o.Now()), limitOf(in.Limit)
	seen, err := s.executions(ctx, p, in.asks(s.o.Now()), filters)
	if err != nil {
		out.refuse(err)
		return out
	}
	out.show(seen.items, seen.total, limit)
	out.more(limit, maxExecutions, "status, workflow_name or hours")
	if seen.total != 0 {
		return out
	}
	if seen, err = s.executions(ctx, p, []monitor.Filter{{}}, nil); err == nil {
		out.Note = filters.why(seen.items, "executions", "start_workflow begins one.")
	}
	return out
}

// asks are the filters for the monitor: what began in time, and what still
// runs whenever it began.
func (in *ExecutionsIn) asks(now time.Time) []monitor.Filter {
	f := monitor.Filter{ExecutedBy: in.Username, Namespace: in.Namespace, Status: in.Status, Since: in.since(now)}
	runs := f
	runs.Status, runs.Since = swf.ExecutionRunning, time.Time{}
	switch in.Status {
	case swf.ExecutionRunning:
		return []monitor.Filter{runs}
	case "":
		return []monitor.Filter{f, runs}
	}
	return []monitor.Filter{f}
}

// maxSpaces is how many namespaces of a principal are asked for one by one.
const maxSpaces = 8

// executions asks for what passes any of the filters and keeps what the
// principal may see and what passes the sieve, latest first.
func (s *Set) executions(ctx context.Context, p swf.Principal, asks []monitor.Filter, filters sieve[ExecutionRow]) (all found[ExecutionRow], _ *swf.Error) {
	c, refused := s.scope(ctx, p)
	if refused != nil {
		return all, refused
	}
	known := make(map[string]bool)
	for _, f := range c.split(asks) {
		part, err := search(func(limit, offset int) (monitor.Page[swf.Execution], error) {
			return s.o.Monitor.ExecutionPage(ctx, f, limit, offset)
		}, func(e *swf.Execution) bool {
			row := executionRow(e, p)
			return c.sees(e.ExecutedBy, deref(e.Namespace)) && filters.passes(&row, -1)
		}, 2*maxExecutions, false)
		if err != nil {
			return all, monitorError(err)
		}
		for i := range part.items {
			if id := part.items[i].ExecutionID; !known[id] {
				known[id] = true
				all.items = append(all.items, executionRow(&part.items[i], p))
			}
		}
		all.total = min(all.total, part.total)
	}
	if all.total >= 0 {
		all.total = len(all.items)
	}
	slices.SortStableFunc(all.items, func(a, b ExecutionRow) int {
		return cmp.Or(b.StartTime.Compare(a.StartTime), strings.Compare(a.ExecutionID, b.ExecutionID))
	})
	return all, nil
}

// split asks for what is the principal's and for each of its namespaces alone,
// so that others' executions do not push its own out of the monitor's pages.
func (c *scope) split(asks []monitor.Filter) []monitor.Filter {
	if c.principal.Operator {
		return asks
	}
	var parts []monitor.Filter
	for _, f := range asks {
		if f.ExecutedBy != "" || f.Namespace != "" {
			parts = append(parts, f)
			continue
		}
		mine := f
		mine.ExecutedBy = c.principal.Name
		parts = append(parts, mine)
		for _, n := range c.namespaces[:min(len(c.namespaces), maxSpaces)] {
			in := f
			in.Namespace = n
			parts = append(parts, in)
		}
	}
	return parts
}

func executionRow(e *swf.Execution, p swf.Principal) ExecutionRow {
	r := ExecutionRow{ExecutionID: clean(e.ExecutionID, 128), Status: clean(e.Status, 64), Namespace: clean(deref(e.Namespace), 128),
		ExecutedBy: clean(e.ExecutedBy, 128), Mine: e.ExecutedBy == p.Name, StartTime: e.StartTime.Time}
	if e.EndTime != nil {
		r.EndTime = &e.EndTime.Time
	}
	return r
}

func (in *ExecutionsIn) since(now time.Time) time.Time {
	return since(now, in.Hours, defaultHours, "")
}

// since is where a list begins: so many hours back, else the usual number of
// them, else, of one execution, with its first.
func since(now time.Time, hours *int, usual int, executionID string) time.Time {
	switch {
	case hours != nil:
		usual = *hours
	case executionID != "":
		return time.Time{}
	}
	return now.Add(-time.Duration(usual) * time.Hour)
}

func (in *ExecutionsIn) sieve(now time.Time) sieve[ExecutionRow] {
	var s sieve[ExecutionRow]
	s.by("username", in.Username, func(e *ExecutionRow) bool { return e.ExecutedBy == in.Username })
	s.by("namespace", in.Namespace, func(e *ExecutionRow) bool { return e.Namespace == in.Namespace })
	s.by("workflow_name", in.WorkflowName, func(e *ExecutionRow) bool { return strings.HasPrefix(e.ExecutionID, in.WorkflowName+"-") })
	s.by("status", in.Status, func(e *ExecutionRow) bool { return e.Status == in.Status })
	since := in.since(now)
	s.by("hours", fmt.Sprintf("%.0f", now.Sub(since).Hours()), func(e *ExecutionRow) bool {
		return !e.StartTime.Before(since) || e.Status == swf.ExecutionRunning
	})
	return s
}
