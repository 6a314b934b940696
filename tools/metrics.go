package tools

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// metrics count the calls. Each label has a closed set of values: nothing that
// a client or a manager chooses becomes one.
type metrics struct {
	watched bool // somebody collects them
	calls   *prometheus.CounterVec
	refused *prometheus.CounterVec
	took    *prometheus.HistogramVec
}

// newMetrics registers them; with no Registerer they count for nobody.
func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	m := &metrics{
		watched: r != nil,
		calls: f.NewCounterVec(prometheus.CounterOpts{Namespace: "swf", Subsystem: "tool", Name: "calls_total",
			Help: "Answered calls of tools and resources; outcome is that of the command where there was one, else ok or error."}, []string{"tool", "outcome"}),
		refused: f.NewCounterVec(prometheus.CounterOpts{Namespace: "swf", Subsystem: "tool", Name: "refusals_total",
			Help: "Calls that were refused for who asked, how or how often, by the code of the error."}, []string{"code"}),
		took: f.NewHistogramVec(prometheus.HistogramOpts{Namespace: "swf", Subsystem: "tool", Name: "call_seconds",
			Help: "From a call until its answer.", Buckets: []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 60}}, []string{"tool"}),
	}
	for _, code := range []swf.Code{swf.CodeForbidden, swf.CodeUnauthenticated, swf.CodeInvalidArgument, swf.CodeLimited, swf.CodeConfirmationNeeded, swf.CodeWrongNamespace} {
		m.refused.WithLabelValues(string(code)) // the first of something is an increase too
	}
	return m
}

// offer makes the series of a tool, if anybody may ask for them.
func (m *metrics) offer(tool string) {
	if !m.watched {
		return
	}
	m.took.WithLabelValues(tool)
	for _, outcome := range []string{"ok", "error", string(control.Succeeded), string(control.Failed), string(control.Refused), string(control.Pending)} {
		m.calls.WithLabelValues(tool, outcome)
	}
}

// answered counts one call.
func (m *metrics) answered(tool string, f facts, took time.Duration) {
	m.took.WithLabelValues(tool).Observe(took.Seconds())
	if f.err != nil && refusedHere(f.err.Code) {
		m.refused.WithLabelValues(string(f.err.Code)).Inc()
	}
	m.calls.WithLabelValues(tool, outcomeLabel(f.outcome, f.err)).Inc()
}

func outcomeLabel(outcome string, err *swf.Error) string {
	switch control.Outcome(outcome) {
	case control.Succeeded, control.Failed, control.Refused, control.Expired, control.Pending:
		return outcome
	}
	if err != nil {
		return "error"
	}
	return "ok"
}
