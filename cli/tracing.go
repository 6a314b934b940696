package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/epic-swf/testbed/otlp"
	"github.com/epic-swf/testbed/swf"
)

// farewell bounds the sending of the last spans: nobody waits for a collector
// that is away.
const farewell = 2 * time.Second

// tracing sends the spans of this process to a collector over OTLP. The zero
// value makes none.
type tracing struct{ provider *sdktrace.TracerProvider }

// newTracing follows the variables that OpenTelemetry defines. Without an
// endpoint and without OTEL_TRACES_EXPORTER it is off, and costs nothing.
func newTracing(service string, getenv func(string) string, log *slog.Logger) (tracing, error) {
	on, err := tracingWanted(getenv)
	if err != nil || !on {
		return tracing{}, err
	}
	o, err := otlp.FromEnv(getenv)
	if err != nil {
		return tracing{}, swf.E(swf.CodeEnvironment, "traces cannot be exported: "+err.Error(), "mend the OTEL_EXPORTER_OTLP_ variables, or unset them").Because(err)
	}
	about, err := resource.New(context.Background(), resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", swf.Version)),
		resource.WithHost(), resource.WithFromEnv()) // what the environment says comes last, and wins
	if err != nil {
		log.Warn("OTEL_RESOURCE_ATTRIBUTES is not understood in full", "err", err)
	}
	return tracing{sdktrace.NewTracerProvider(sdktrace.WithBatcher(&patient{SpanExporter: otlp.New(o), log: log}), sdktrace.WithResource(about))}, nil
}

// tracingWanted reports whether the environment asks for traces.
func tracingWanted(getenv func(string) string) (bool, error) {
	first := func(names ...string) (name, value string) {
		for _, n := range names {
			if v := strings.TrimSpace(getenv(n)); v != "" {
				return n, v
			}
		}
		return "", ""
	}
	exporter := strings.ToLower(strings.TrimSpace(getenv("OTEL_TRACES_EXPORTER")))
	_, endpoint := first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	switch {
	case strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true"), exporter == "none", exporter == "" && endpoint == "":
		return false, nil
	case exporter != "" && exporter != "otlp":
		return false, swf.E(swf.CodeEnvironment, fmt.Sprintf("OTEL_TRACES_EXPORTER is %q", exporter), "it may be otlp or none")
	}
	if name, protocol := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return false, swf.E(swf.CodeEnvironment, fmt.Sprintf("%s is %q", name, protocol), "only http/protobuf is spoken here; collectors take it at port 4318")
	}
	return true, nil
}

// close sends what is left, for a while.
func (t tracing) close() {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // patient has told why
}

// patient tells the log when a collector goes away and when it is back, and the
// library nothing: that would write to standard error by itself.
type patient struct {
	sdktrace.SpanExporter
	log  *slog.Logger
	away atomic.Bool
}

// ExportSpans implements sdktrace.SpanExporter.
func (p *patient) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := p.SpanExporter.ExportSpans(ctx, spans)
	switch was := p.away.Swap(err != nil); {
	case err != nil && !was:
		p.log.Warn("the collector does not take traces; all else goes on without it", "err", err)
	case err == nil && was:
		p.log.Info("the collector takes traces")
	}
	return nil
}
