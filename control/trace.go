package control

import (
	"context"
	"regexp"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// TraceHeader is the STOMP header that says to which trace a message belongs,
// in the form of W3C Trace Context, level 1. It is not signed and decides
// nothing (design, rule 13): at worst a forger puts a span under another's.
const TraceHeader = "traceparent"

var traceparentRE = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// ParseTrace reads the value of a traceparent. What is not exactly one of
// version 00 is no trace: the SpanContext is then the zero one.
func ParseTrace(traceparent string) trace.SpanContext {
	if len(traceparent) != 55 || !traceparentRE.MatchString(traceparent) {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{TraceHeader: traceparent})
	return trace.SpanContextFromContext(ctx)
}

// MarkTrace adds the trace of ctx to the headers of a message, if it has one.
func MarkTrace(ctx context.Context, headers map[string]string) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	if v := carrier[TraceHeader]; v != "" { // tracestate may hold anything and stays here
		headers[TraceHeader] = v
	}
}

// traced begins the span of one command that is asked, as a child of the
// caller's span and by its provider; without one it costs nothing.
func traced(ctx context.Context, cmd *Command) (context.Context, func(Reply, error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.SpanContext().IsValid() {
		return ctx, func(Reply, error) {}
	}
	ctx, span := parent.TracerProvider().Tracer("github.com/epic-swf/testbed/control").Start(ctx, "ask "+string(cmd.Verb),
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attribute.String("swf.command_id", cmd.ID)))
	return ctx, func(r Reply, err error) {
		if err != nil {
			span.RecordError(err)
		}
		span.SetAttributes(attribute.String("swf.outcome", string(r.Outcome)))
		span.End()
	}
}
