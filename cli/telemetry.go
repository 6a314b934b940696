package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

// metricsFlag says where a daemon serves its metrics.
type metricsFlag struct{ addr string }

func (f *metricsFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.addr, "metrics-listen", "", "serve Prometheus metrics at /metrics of this address, to who brings the token of metrics.token")
}

// telemetry is how one process tells of itself to those who watch it: metrics
// at a listener of their own, traces to a collector. A nil *telemetry tells
// nobody. The rooms fill it by the interfaces of the two libraries.
type telemetry struct {
	registry *prometheus.Registry   // nil: there is no listener
	asked    *prometheus.CounterVec // requests to the monitor
	tracing  tracing
	log      *slog.Logger
	end      context.CancelFunc
	served   chan error
	once     sync.Once // of close
}

// telemetry opens what the flag and the environment ask for. tls protects the
// listener beyond this host as it does the daemon's own. Where metrics are
// served is said on standard error.
func (p *place) telemetry(service string, f metricsFlag, tls listenFlags, log *slog.Logger) (*telemetry, error) {
	t := &telemetry{log: log}
	var err error
	if t.tracing, err = newTracing(service, p.app.getenv, log); err != nil {
		return nil, err
	}
	if f.addr == "" {
		return t, nil
	}
	if err := p.paths.Make(); err != nil {
		return nil, err
	}
	path := filepath.Join(p.paths.Config, "metrics.token")
	token, err := secretFile(path)
	if err != nil {
		return nil, err
	}
	tls.addr = f.addr
	ln, url, err := tls.open(true, log)
	if err != nil {
		return nil, err
	}
	t.registry = newRegistry()
	t.asked = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "swf", Subsystem: "monitor", Name: "requests_total",
		Help: "Requests to the monitor by result: ok, refused (4xx), failed (5xx), unavailable (no answer)."}, []string{"result"})
	for _, result := range []string{"ok", "refused", "failed", "unavailable"} {
		t.asked.WithLabelValues(result)
	}
	t.registry.MustRegister(t.asked)
	var ctx context.Context
	ctx, t.end = context.WithCancel(context.Background())
	t.served = make(chan error, 1)
	go func() {
		t.served <- (&web.Server{Listener: ln, Handler: t.handler(token), MaxConns: 16, Log: log}).Run(ctx)
	}()
	fmt.Fprintf(p.app.err, "metrics    %s/metrics (token: %s)\n", url, path)
	return t, nil
}

// newRegistry knows the process itself.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "swf", Name: "build_info", Help: "Always 1; the version is its label.",
		ConstLabels: prometheus.Labels{"version": swf.Version}})
	build.Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build)
	return r
}

// handler serves /metrics behind the guards that all listeners have. The token
// opens nothing else, and no other token opens this.
func (t *telemetry) handler(token swf.Secret) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, ErrorLog: slog.NewLogLogger(t.log.Handler(), slog.LevelError)}))
	auth := web.Auth{Lookup: oneToken(token, swf.Principal{Name: "metrics", ReadOnly: true})}
	return web.Guard(auth.Handler(mux), web.GuardOptions{})
}

// metrics is where rooms register theirs; nil when nobody asks for them.
func (t *telemetry) metrics() prometheus.Registerer {
	if t == nil || t.registry == nil {
		return nil
	}
	return t.registry
}

// expose registers collectors, if anybody asks for them.
func (t *telemetry) expose(list ...prometheus.Collector) {
	for _, c := range list {
		if r := t.metrics(); r != nil {
			if err := r.Register(c); err != nil {
				t.log.Error("a metric is not exposed", "err", err)
			}
		}
	}
}

// monitorAnswered counts what comes of requests to the monitor; nil when nobody
// asks for that.
func (t *telemetry) monitorAnswered() func(status int) {
	if t.metrics() == nil {
		return nil
	}
	return func(status int) {
		result := "ok"
		switch {
		case status == 0:
			result = "unavailable"
		case status >= 500:
			result = "failed"
		case status >= 400:
			result = "refused"
		}
		t.asked.WithLabelValues(result).Inc()
	}
}

// link exposes the broker connections of a part.
func (t *telemetry) link(c *amq.Conn, part string) {
	t.expose(amq.Metrics(c, prometheus.Labels{"part": part}))
}

// tracer is what makes spans; nil when nobody collects them.
func (t *telemetry) tracer() trace.TracerProvider {
	if t == nil || t.tracing.provider == nil {
		return nil
	}
	return t.tracing.provider
}

// close sends the last spans and ends the listener. A second close does
// nothing.
func (t *telemetry) close() {
	t.once.Do(func() {
		t.tracing.close()
		if t.end == nil {
			return
		}
		t.end()
		if err := <-t.served; err != nil {
			t.log.Error("metrics", "err", err)
		}
	})
}
