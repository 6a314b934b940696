package mcpserver

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/epic-swf/testbed/swf"
)

// traceparent is the key of _meta by which a client says to which trace a call
// belongs (W3C Trace Context).
const traceparent = "traceparent"

// tracer is nil where nothing is traced.
func tracer(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		return nil
	}
	return p.Tracer("github.com/epic-swf/testbed/mcpserver", trace.WithInstrumentationVersion(swf.Version))
}

// traced begins the span of a call, below the client's own if it names one; all
// that the call does is below it. The function that it returns ends it.
func (s *Server) traced(ctx context.Context, tool string, meta *mcp.Meta) (context.Context, func(*mcp.CallToolResult)) {
	if meta != nil {
		if parent, ok := meta.AdditionalFields[traceparent].(string); ok && len(parent) == 55 { // version 00 has one length
			ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparent: parent})
		}
	}
	if s.trace == nil {
		return ctx, func(*mcp.CallToolResult) {}
	}
	ctx, span := s.trace.Start(ctx, "tools/call "+tool, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("mcp.method.name", string(mcp.MethodToolsCall)), attribute.String("gen_ai.tool.name", tool)))
	return ctx, func(r *mcp.CallToolResult) {
		if r != nil && r.IsError {
			span.SetStatus(codes.Error, "the answer is an error")
		}
		span.End()
	}
}
