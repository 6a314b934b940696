package manager

import (
	"context"
	"log/slog"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/epic-swf/testbed/control"
)

// traces knows to which trace each command under way belongs. Steps of one
// command run on several goroutines, which share its id and nothing else. What
// a sender says of a trace decides nothing (design, rule 13): a command is
// taken, journaled and executed the same way with any or none. Safe for
// concurrent use.
type traces struct {
	tracer trace.Tracer

	mu sync.Mutex
	of map[string]trace.SpanContext // of commands without an outcome, as long as they are traced
}

func newTraces(p trace.TracerProvider) *traces {
	if p == nil {
		p = noop.NewTracerProvider()
	}
	return &traces{tracer: p.Tracer("github.com/epic-swf/testbed/manager"), of: make(map[string]trace.SpanContext)}
}

// accept begins the span of a command that has come in, below that of its
// sender; all further spans of the command are below it.
func (t *traces) accept(cmd *control.Command, sender trace.SpanContext) trace.Span {
	ctx := trace.ContextWithRemoteSpanContext(context.Background(), sender)
	_, span := t.tracer.Start(ctx, "accept "+string(cmd.Verb), trace.WithSpanKind(trace.SpanKindConsumer), commandAttributes(cmd.ID))
	return span
}

// begin remembers the span of a command that will have an outcome.
func (t *traces) begin(id string, span trace.Span) {
	if c := span.SpanContext(); c.IsSampled() {
		t.mu.Lock()
		t.of[id] = c
		t.mu.Unlock()
	}
}

// end forgets a command.
func (t *traces) end(id string) {
	t.mu.Lock()
	delete(t.of, id)
	t.mu.Unlock()
}

// context returns ctx as part of the command's trace, if it has one.
func (t *traces) context(ctx context.Context, id string) context.Context {
	t.mu.Lock()
	parent, traced := t.of[id]
	t.mu.Unlock()
	if !traced {
		return ctx
	}
	return trace.ContextWithSpanContext(ctx, parent)
}

// step begins a span of one step of a command that is traced. The caller ends
// it.
func (t *traces) step(ctx context.Context, id, name string) (context.Context, trace.Span) {
	ctx = t.context(ctx, id)
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, trace.SpanFromContext(ctx)
	}
	return t.tracer.Start(ctx, name, commandAttributes(id))
}

func commandAttributes(id string) trace.SpanStartOption {
	return trace.WithAttributes(attribute.String("swf.command_id", id))
}

// logOf is the log for lines about one command: they bear its id, and the id of
// its trace.
func (m *Manager) logOf(id string) *slog.Logger {
	log := m.log.With("command_id", id)
	if c := trace.SpanContextFromContext(m.traces.context(context.Background(), id)); c.IsValid() {
		log = log.With("trace_id", c.TraceID().String())
	}
	return log
}
