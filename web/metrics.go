package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Measured counts what next answers, rejections too: swf_http_requests_total by
// method and status, swf_http_response_start_seconds (until the head of the
// answer is written, which says something of streams as well) and
// swf_http_requests_in_flight, all with the name of the server. It goes outside
// of all guards. A nil Registerer makes it next itself.
func Measured(next http.Handler, server string, r prometheus.Registerer) http.Handler {
	if r == nil {
		return next
	}
	f := promauto.With(prometheus.WrapRegistererWith(prometheus.Labels{"server": server}, r))
	requests := f.NewCounterVec(prometheus.CounterOpts{Namespace: "swf", Subsystem: "http", Name: "requests_total",
		Help: "Answered requests; 401, 403, 413 and 429 are rejections."}, []string{"method", "code"})
	requests.WithLabelValues(http.MethodPost, "200") // the others come with their first request
	start := f.NewHistogram(prometheus.HistogramOpts{Namespace: "swf", Subsystem: "http", Name: "response_start_seconds",
		Help: "From a request until the head of its answer.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}})
	inFlight := f.NewGauge(prometheus.GaugeOpts{Namespace: "swf", Subsystem: "http", Name: "requests_in_flight", Help: "Requests under way, streams among them."})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := &measuredWriter{ResponseWriter: w, began: time.Now()}
		inFlight.Inc()
		defer func() {
			inFlight.Dec()
			m.head(http.StatusOK)
			requests.WithLabelValues(methodLabel(r.Method), strconv.Itoa(m.status)).Inc()
			start.Observe(m.took.Seconds())
		}()
		next.ServeHTTP(m, r)
	})
}

// methodLabel keeps the set of methods closed.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// measuredWriter remembers the status and when it was written.
type measuredWriter struct {
	http.ResponseWriter
	began  time.Time
	took   time.Duration
	status int
}

func (m *measuredWriter) head(status int) {
	if m.status == 0 && status >= http.StatusOK { // 1xx comes before the answer
		m.status, m.took = status, time.Since(m.began)
	}
}

// Unwrap is for http.ResponseController.
func (m *measuredWriter) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// Flush implements http.Flusher, for those who ask the writer itself.
func (m *measuredWriter) Flush() {
	m.head(http.StatusOK)
	_ = http.NewResponseController(m.ResponseWriter).Flush() // who cannot does it at the end
}

// WriteHeader implements http.ResponseWriter.
func (m *measuredWriter) WriteHeader(status int) {
	m.head(status)
	m.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (m *measuredWriter) Write(b []byte) (int, error) {
	m.head(http.StatusOK)
	return m.ResponseWriter.Write(b)
}
