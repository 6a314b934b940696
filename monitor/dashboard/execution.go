package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// Bounds of one execution's page.
const (
	maxChanges = 400
	maxErrors  = 20
	plotBins   = 120
)

// execution is one run of a workflow.
type execution struct {
	swf.Execution
	Workflow string
	Files    int64 // STFs generated, as far as the bus told
	Expected int64 // 0: not known beforehand
	Took     time.Duration
}

// Live reports whether it goes on.
func (e *execution) Live() bool { return e.Status == swf.ExecutionRunning }

// Percent is how far it is.
func (e *execution) Percent() int64 { return percent(e.Files, e.Expected) }

// stage is one stretch of the state machine.
type stage struct {
	State    string
	Event    string // the message that began it
	At       time.Time
	Took     time.Duration
	Kind     string // of its colour
	From     string // where it begins and how wide it is, for a drawing in percent
	Width    string
	Wide     bool // there is room for its name
	Underway bool
}

// executionList reads executions with the number of their files.
func (d *Dashboard) executionList(ctx context.Context, q store.Query) (rows[execution], error) {
	found, err := listOf[swf.Execution](ctx, d.o.Store, store.Executions, q)
	out := rows[execution]{more: found.more}
	for _, e := range found.rows {
		if err != nil {
			break
		}
		x := execution{Execution: e}
		err = d.complete(ctx, &x)
		out.rows = append(out.rows, x)
	}
	return out, err
}

// complete adds what an execution's record does not say itself.
func (d *Dashboard) complete(ctx context.Context, x *execution) (err error) {
	var values map[string]json.RawMessage
	_ = json.Unmarshal(x.ParameterValues, &values) // free form: what is not there is not known
	x.Workflow, x.Expected = parameters(values)
	end := d.o.Now()
	if x.EndTime != nil {
		end = x.EndTime.Time
	}
	x.Took = max(0, end.Sub(x.StartTime.Time))
	if x.EndTime != nil && !x.Live() { // its own count is exact, the bus's may have gaps
		var metrics struct {
			Files *int64 `json:"stf_count"`
		}
		if json.Unmarshal(x.PerformanceMetrics, &metrics) == nil && metrics.Files != nil {
			x.Files = *metrics.Files
			return nil
		}
	}
	x.Files, err = d.o.Store.Count(ctx, store.Messages, ofType(x.ExecutionID, swf.MsgSTFGen))
	return err
}

func ofType(execution, kind string) store.Query {
	return store.Query{Equal: map[string]any{"execution_id": execution, "message_type": kind}}
}

// parameters reads the workflow's name and how many STFs it will make, if its
// parameters say so: stf_count in each physics period.
func parameters(sections map[string]json.RawMessage) (workflow string, files int64) {
	var about struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(sections["workflow"], &about)
	var count, periods *float64
	for name, raw := range sections {
		var values struct {
			Count   *float64 `json:"stf_count"`
			Periods *float64 `json:"physics_period_count"`
		}
		if name == "workflow" || json.Unmarshal(raw, &values) != nil {
			continue
		}
		main := name != "daq_state_machine" // which loses to every other section
		if values.Count != nil && (count == nil || main) {
			count = values.Count
		}
		if values.Periods != nil && (periods == nil || main) {
			periods = values.Periods
		}
	}
	if count == nil || *count < 1 || *count > 1e9 {
		return about.Name, 0
	}
	n := 1.0
	if periods != nil {
		n = *periods
	}
	if n < 1 || n > 1e6 {
		return about.Name, 0 // 0 periods: for ever
	}
	return about.Name, int64(*count * n)
}

// execution is the page of one execution.
func (d *Dashboard) execution(v *visit) (view, error) {
	ctx, id := v.r.Context(), v.r.PathValue("id")
	if swf.CheckName(swf.KindExecution, id) != nil {
		return view{}, errNoPage
	}
	r, err := d.o.Store.Get(ctx, store.Executions, "execution_id", id)
	if err != nil {
		return view{}, err
	}
	var x execution
	if err := store.Executions.Decode(r, &x.Execution); err != nil {
		return view{}, err
	}
	if err := d.complete(ctx, &x); err != nil {
		return view{}, err
	}
	stages, err := d.stages(ctx, &x)
	if err != nil {
		return view{}, err
	}
	plot, err := d.plot(ctx, &x)
	if err != nil {
		return view{}, err
	}
	ready, err := d.o.Store.Count(ctx, store.Messages, ofType(id, swf.MsgSTFReady))
	if err != nil {
		return view{}, err
	}
	quoted, _ := json.Marshal(id) // of a text it cannot fail
	errors, err := listOf[swf.LogEntry](ctx, d.o.Store, store.Logs, store.Query{Limit: maxErrors, Where: []store.Condition{
		{Column: "level", Is: store.AtLeast, Value: levels["WARNING"]}, {Column: "extra_data", Is: store.Contains, Value: string(quoted)}}})
	var metrics map[string]any
	_ = json.Unmarshal(x.PerformanceMetrics, &metrics)
	return view{Title: id, Template: "execution", Body: map[string]any{
		"Execution": &x, "Stages": stages, "Plot": plot, "Ready": ready, "Errors": errors.rows, "Metrics": metrics,
		"Control": x.Live() && d.mayControl(v, x.ExecutedBy),
	}}, err
}

// stages follows the state machine by the messages that the run's changes were
// told with.
func (d *Dashboard) stages(ctx context.Context, x *execution) ([]stage, error) {
	list := []stage{{State: "preparing", At: x.StartTime.Time, Kind: "prepare"}}
	for _, kind := range []string{swf.MsgRunImminent, swf.MsgStartRun, swf.MsgPauseRun, swf.MsgResumeRun, swf.MsgEndRun} {
		q := ofType(x.ExecutionID, kind)
		q.Limit, q.Oldest = maxChanges/5, true
		found, err := listOf[swf.RecordedMessage](ctx, d.o.Store, store.Messages, q)
		if err != nil {
			return nil, err
		}
		for _, m := range found.rows {
			list = append(list, stageOf(m))
		}
	}
	slices.SortStableFunc(list, func(a, b stage) int { return a.At.Compare(b.At) })
	end := d.o.Now()
	if x.EndTime != nil {
		end = x.EndTime.Time
	}
	for i := range list {
		until := end
		if i+1 < len(list) {
			until = list[i+1].At
		}
		list[i].Took = max(0, until.Sub(list[i].At))
		list[i].Underway = i+1 == len(list) && x.Live()
	}
	draw(list)
	return list, nil
}

func stageOf(m swf.RecordedMessage) stage {
	var said struct {
		State    string `json:"state"`
		Substate string `json:"substate"`
	}
	_ = json.Unmarshal(m.Content, &said) // what it does not say is not shown
	s := stage{Event: m.Type, At: m.SentAt.Time, State: said.State}
	if said.Substate != "" {
		s.State += " / " + said.Substate
	}
	switch {
	case m.Type == swf.MsgEndRun:
		s.State, s.Kind = "run ended", "ending"
	case said.Substate == "physics":
		s.Kind = "physics"
	case said.Substate == "standby":
		s.Kind = "standby"
	default:
		s.Kind = "beam"
	}
	return s
}

// draw gives each stage its place on a line of 100 percent.
func draw(list []stage) {
	var whole time.Duration
	for _, s := range list {
		whole += s.Took
	}
	if whole <= 0 {
		return
	}
	at := 0.0
	for i := range list {
		width := 100 * float64(list[i].Took) / float64(whole)
		list[i].From, list[i].Width = fmt.Sprintf("%.3f%%", at), fmt.Sprintf("%.3f%%", width)
		list[i].Wide = width > 14
		at += width
	}
}

// plot is the rate of STFs over an execution: seconds since its start, and
// files in each second.
type plot struct {
	Data string // JSON: [[x…], [generated…], [ready…]]
	Peak float64
	Mean float64
	Step string
}

func (d *Dashboard) plot(ctx context.Context, x *execution) (plot, error) {
	width := max(time.Second, (x.Took / plotBins).Round(time.Second))
	start := x.StartTime.Truncate(width)
	n := min(plotBins*2, int(x.Took/width)+1)
	series := [3][]float64{make([]float64, n), make([]float64, n), make([]float64, n)}
	for i := range n {
		series[0][i] = (time.Duration(i) * width).Seconds()
	}
	p := plot{Step: span(width)}
	for i, kind := range []string{swf.MsgSTFGen, swf.MsgSTFReady} {
		bins, err := d.o.Store.Histogram(ctx, store.Messages, ofType(x.ExecutionID, kind), "sent_at", width)
		if err != nil {
			return p, err
		}
		for _, b := range bins {
			at := int(b.At.Sub(start) / width)
			if at < 0 || at >= n {
				continue
			}
			rate := float64(b.Count) / width.Seconds()
			series[i+1][at] = rate
			if i == 0 {
				p.Peak = max(p.Peak, rate)
			}
		}
	}
	p.Mean = float64(x.Files) / max(1, x.Took.Seconds())
	data, err := json.Marshal(series)
	p.Data = string(data)
	return p, err
}
