package otlp

import (
	"encoding/binary"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scoped are the spans of one scope, ordered below the resource that they are
// of: a process, mostly.
type scoped struct {
	scope instrumentation.Scope
	spans []sdktrace.ReadOnlySpan
}

type sourced struct {
	resource *resource.Resource
	scopes   []*scoped
}

// arrange groups spans as OTLP wants them, in the order in which they came.
func arrange(spans []sdktrace.ReadOnlySpan) []*sourced {
	type key struct {
		resource attribute.Distinct
		scope    instrumentation.Scope
	}
	var all []*sourced
	sources, scopes := map[attribute.Distinct]*sourced{}, map[key]*scoped{}
	for _, s := range spans {
		of := s.Resource().Equivalent()
		source := sources[of]
		if source == nil {
			source = &sourced{resource: s.Resource()}
			sources[of], all = source, append(all, source)
		}
		k := key{of, s.InstrumentationScope()}
		scope := scopes[k]
		if scope == nil {
			scope = &scoped{scope: k.scope}
			scopes[k], source.scopes = scope, append(source.scopes, scope)
		}
		scope.spans = append(scope.spans, s)
	}
	return all
}

// request is an ExportTraceServiceRequest of opentelemetry-proto 1.
func request(spans []sdktrace.ReadOnlySpan) []byte {
	var m message
	for _, source := range arrange(spans) {
		m.nest(1, func(m *message) { // ResourceSpans
			m.some(1, func(m *message) { m.attributes(1, source.resource.Attributes()) })
			for _, scope := range source.scopes {
				m.nest(2, scope.write)
			}
			m.text(3, source.resource.SchemaURL())
		})
	}
	return m
}

// write is ScopeSpans.
func (s *scoped) write(m *message) {
	m.some(1, func(m *message) {
		m.text(1, s.scope.Name)
		m.text(2, s.scope.Version)
		m.attributes(3, s.scope.Attributes.ToSlice())
	})
	for _, one := range s.spans {
		m.nest(2, func(m *message) { m.span(one) })
	}
	m.text(3, s.scope.SchemaURL)
}

func (m *message) span(s sdktrace.ReadOnlySpan) {
	m.place(s.SpanContext())
	if parent := s.Parent().SpanID(); parent.IsValid() {
		m.block(4, parent[:])
	}
	m.text(5, s.Name())
	m.varint(6, uint64(s.SpanKind())) // numbered alike
	m.fixed64(7, nanoseconds(s.StartTime()))
	m.fixed64(8, nanoseconds(s.EndTime()))
	m.attributes(9, s.Attributes())
	m.varint(10, count(s.DroppedAttributes()))
	for _, e := range s.Events() {
		m.nest(11, func(m *message) {
			m.fixed64(1, nanoseconds(e.Time))
			m.text(2, e.Name)
			m.attributes(3, e.Attributes)
			m.varint(4, count(e.DroppedAttributeCount))
		})
	}
	m.varint(12, count(s.DroppedEvents()))
	for _, l := range s.Links() {
		m.nest(13, func(m *message) {
			m.place(l.SpanContext)
			m.attributes(4, l.Attributes)
			m.varint(5, count(l.DroppedAttributeCount))
			m.fixed32(6, flags(l.SpanContext, l.SpanContext))
		})
	}
	m.varint(14, count(s.DroppedLinks()))
	m.nest(15, func(m *message) {
		m.text(2, s.Status().Description)
		m.varint(3, status(s.Status().Code))
	})
	m.fixed32(16, flags(s.SpanContext(), s.Parent()))
}

// place is where a span is: spans and links begin with the same three fields.
func (m *message) place(c trace.SpanContext) {
	traceID, spanID := c.TraceID(), c.SpanID()
	m.block(1, traceID[:])
	m.block(2, spanID[:])
	m.text(3, c.TraceState().String())
}

// flags are those of W3C Trace Context, and whether the parent is of another
// process, in two bits: known, and yes.
func flags(of, parent trace.SpanContext) uint32 {
	f := uint32(of.TraceFlags()) | 1<<8
	if parent.IsRemote() {
		f |= 1 << 9
	}
	return f
}

// status is numbered another way in OTLP than in the SDK.
func status(c codes.Code) uint64 {
	switch c {
	case codes.Ok:
		return 1
	case codes.Error:
		return 2
	}
	return 0
}

func nanoseconds(t time.Time) uint64 { return uint64(max(0, t.UnixNano())) }

func count(n int) uint64 { return uint64(min(max(0, n), math.MaxUint32)) }

func (m *message) attributes(field uint64, list []attribute.KeyValue) {
	for _, kv := range list {
		m.nest(field, func(m *message) {
			m.text(1, string(kv.Key))
			m.nest(2, func(m *message) { m.value(kv.Value) })
		})
	}
}

// value is an AnyValue, a oneof: a zero is written too, it says which member.
func (m *message) value(v attribute.Value) {
	switch v.Type() {
	case attribute.EMPTY:
	case attribute.STRING:
		m.block(1, valid(v.AsString()))
	case attribute.BOOL:
		m.tag(2, wireVarint)
		*m = append(*m, bit(v.AsBool()))
	case attribute.INT64:
		m.tag(3, wireVarint)
		*m = binary.AppendUvarint(*m, uint64(v.AsInt64()))
	case attribute.FLOAT64:
		m.tag(4, wireFixed64)
		*m = binary.LittleEndian.AppendUint64(*m, math.Float64bits(v.AsFloat64()))
	case attribute.BOOLSLICE:
		array(m, v.AsBoolSlice(), attribute.BoolValue)
	case attribute.INT64SLICE:
		array(m, v.AsInt64Slice(), attribute.Int64Value)
	case attribute.FLOAT64SLICE:
		array(m, v.AsFloat64Slice(), attribute.Float64Value)
	case attribute.STRINGSLICE:
		array(m, v.AsStringSlice(), attribute.StringValue)
	case attribute.SLICE:
		array(m, v.AsSlice(), func(v attribute.Value) attribute.Value { return v })
	case attribute.MAP:
		m.nest(6, func(m *message) { m.attributes(1, v.AsMap()) })
	case attribute.BYTESLICE:
		m.block(7, v.AsByteSlice())
	default:
		m.block(1, []byte("INVALID")) // as every exporter of the SDK says it
	}
}

func array[T any](m *message, list []T, value func(T) attribute.Value) {
	m.nest(5, func(m *message) {
		for _, one := range list {
			m.nest(1, func(m *message) { m.value(value(one)) })
		}
	})
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
