package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// next is a sequence allocator: the next number in the named field. The body,
// if any, is not looked at.
func (a *api) next(r *http.Request, q store.Sequence, field string) (answer, error) {
	n, err := a.store.Next(r.Context(), q)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: map[string]any{field: n, "status": "success"}}, nil
}

// ensureNamespace is POST /api/namespaces/ensure/: get or create.
func (a *api) ensureNamespace(r *http.Request) (answer, error) {
	object, err := readObject(r)
	if err != nil {
		return answer{}, err
	}
	values := map[string]string{}
	for _, f := range []field{{name: "name", max: 100}, {name: "owner", max: 100}, {name: "description", blank: true, nullable: true}} {
		raw, given := object[f.name]
		if !given {
			raw = json.RawMessage(`""`)
		}
		value, message := f.parse(store.Text, raw)
		if message != "" {
			return answer{}, badRequest(map[string]string{"error": f.name + ": " + message, "status": "error"})
		}
		values[f.name], _ = value.(string)
	}
	if err := mayWrite(r, values["owner"]); err != nil {
		return answer{}, err
	}
	ns, created, err := a.store.EnsureNamespace(r.Context(), values["name"], values["owner"], values["description"])
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: map[string]any{"name": ns["name"], "owner": ns["owner"],
		"description": ns["description"], "created": created, "status": "success"}}, nil
}

// summaryPeriod is how far back a log summary looks.
const summaryPeriod = 7 * 24 * time.Hour

// logSummary is GET /api/logs/summary/: by application and instance the number
// of errors of each level and the newest five, of the last seven days.
func (a *api) logSummary(r *http.Request) (answer, error) {
	sum, err := a.store.LogSummary(r.Context(), a.now().Add(-summaryPeriod))
	if err != nil {
		return answer{}, err
	}
	type recent struct {
		Timestamp swf.Timestamp `json:"timestamp"`
		LevelName string        `json:"levelname"`
		Message   string        `json:"message"`
		Module    string        `json:"module"`
		FuncName  string        `json:"funcname"`
		LineNo    int           `json:"lineno"`
	}
	type source struct {
		ErrorCounts  map[string]int64 `json:"error_counts"`
		RecentErrors []recent         `json:"recent_errors"`
	}
	apps := map[string]map[string]*source{}
	at := func(app, instance string) *source {
		if apps[app] == nil {
			apps[app] = map[string]*source{}
		}
		if apps[app][instance] == nil {
			apps[app][instance] = &source{ErrorCounts: map[string]int64{}, RecentErrors: []recent{}}
		}
		return apps[app][instance]
	}
	for _, c := range sum.Counts {
		at(c.App, c.Instance).ErrorCounts[c.Level] = c.Count
	}
	for _, r := range sum.Recent {
		var e swf.LogEntry
		if err := store.Logs.Decode(r, &e); err != nil {
			return answer{}, err
		}
		s := at(e.AppName, e.InstanceName)
		s.RecentErrors = append(s.RecentErrors, recent{e.Timestamp, e.LevelName, e.Message, e.Module, e.FuncName, e.LineNo})
	}
	return answer{status: http.StatusOK, body: apps}, nil
}
