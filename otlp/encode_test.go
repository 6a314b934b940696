package otlp

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// official is a client of the official exporter that keeps what it is given.
type official struct{ took []*tracepb.ResourceSpans }

func (*official) Start(context.Context) error { return nil }
func (*official) Stop(context.Context) error  { return nil }
func (o *official) UploadTraces(_ context.Context, s []*tracepb.ResourceSpans) error {
	o.took = append(o.took, s...)
	return nil
}

// both are the spans as the official exporter and as this one writes them.
func both(t *testing.T, spans []sdktrace.ReadOnlySpan) (want, got *tracepb.TracesData) {
	t.Helper()
	o := new(official)
	e, err := otlptrace.New(t.Context(), o)
	if err = errors.Join(err, e.ExportSpans(t.Context(), spans)); err != nil {
		t.Fatal(err)
	}
	want, got = &tracepb.TracesData{ResourceSpans: o.took}, new(tracepb.TracesData)
	if err := proto.Unmarshal(request(spans), got); err != nil {
		t.Fatalf("the official types cannot read it: %v", err)
	}
	for _, d := range []*tracepb.TracesData{want, got} { // the official one has no order of resources
		slices.SortFunc(d.ResourceSpans, func(a, b *tracepb.ResourceSpans) int { return strings.Compare(a.SchemaUrl, b.SchemaUrl) })
	}
	return want, got
}

func placed(n byte, remote bool) trace.SpanContext {
	state, _ := trace.ParseTraceState("vendor=1")
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{15: n}, SpanID: trace.SpanID{7: n}, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: remote})
}

// everything are attributes of every type.
func everything() []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("text", "a\x00ü€😀"), attribute.String("none", ""), attribute.Bool("yes", true), attribute.Bool("no", false),
		attribute.Int64("zero", 0), attribute.Int64("most", math.MaxInt64), attribute.Int64("least", math.MinInt64),
		attribute.Float64("real", -math.Pi), attribute.Float64("nothing", 0), attribute.Float64("infinite", math.Inf(1)),
		attribute.BoolSlice("bools", []bool{true, false}), attribute.Int64Slice("ints", []int64{0, -1, 2}),
		attribute.Float64Slice("reals", []float64{0, 1.5}), attribute.StringSlice("texts", []string{"", "b"}), attribute.StringSlice("empty", nil),
		{Key: "bytes", Value: attribute.ByteSliceValue([]byte{0, 255})}, {Key: "empty value"},
		{Key: "list", Value: attribute.SliceValue(attribute.IntValue(1), attribute.StringValue("two"))},
		{Key: "map", Value: attribute.MapValue(attribute.Int("one", 1), attribute.Bool("two", false))},
	}
}

// TestAsTheOfficialExporter: the official types read of our bytes what the
// official exporter would have sent, field by field.
func TestAsTheOfficialExporter(t *testing.T) {
	began := time.Unix(1_700_000_000, 123_456_789)
	here := resource.NewWithAttributes("https://schema/1", attribute.String("service.name", "here"))
	there := resource.NewWithAttributes("https://schema/2", everything()...)
	first := instrumentation.Scope{Name: "first", Version: "1", SchemaURL: "https://scope", Attributes: attribute.NewSet(attribute.Bool("a", true))}
	full := tracetest.SpanStub{
		Name: "full", SpanContext: placed(1, false), Parent: placed(2, true), SpanKind: trace.SpanKindConsumer,
		StartTime: began, EndTime: began.Add(time.Second), Attributes: everything(),
		Events:            []sdktrace.Event{{Name: "event", Time: began, Attributes: everything()[:2], DroppedAttributeCount: 3}, {}},
		Links:             []sdktrace.Link{{SpanContext: placed(3, true), Attributes: everything()[2:4], DroppedAttributeCount: 4}},
		Status:            sdktrace.Status{Code: codes.Error, Description: "it failed"},
		DroppedAttributes: 5, DroppedEvents: 6, DroppedLinks: math.MaxInt, Resource: here, InstrumentationScope: first,
	}
	full.Links[0].SpanContext = full.Links[0].SpanContext.WithTraceState(trace.TraceState{}) // the official exporter forgets a link's
	ended := tracetest.SpanStub{Name: "ended well", SpanContext: placed(4, false), SpanKind: trace.SpanKindClient, Status: sdktrace.Status{Code: codes.Ok}, Resource: here}
	away := full
	away.Resource, away.DroppedLinks, away.Parent = there, -1, placed(5, false)
	for name, spans := range map[string]tracetest.SpanStubs{
		"nothing": {}, "a zero span": {{}}, "full": {full}, "of two resources and two scopes, mixed": {full, ended, away, full, ended},
	} {
		if want, got := both(t, spans.Snapshots()); !proto.Equal(want, got) {
			t.Errorf("%s:\nwant %v\ngot  %v", name, want, got)
		}
	}
}

// FuzzAsTheOfficialExporter holds the same for texts and numbers of all kinds.
func FuzzAsTheOfficialExporter(f *testing.F) {
	f.Add("name", "value", int64(1), 1.5, byte(1))
	f.Add("", "", int64(-1), math.Inf(-1), byte(0))
	f.Add("\xff", "a\x80b", int64(math.MinInt64), math.NaN(), byte(255))
	f.Fuzz(func(t *testing.T, name, text string, n int64, x float64, kind byte) {
		s := tracetest.SpanStub{Name: name, SpanContext: placed(kind, kind&1 == 1), SpanKind: trace.SpanKind(kind % 6),
			StartTime: time.Unix(0, n), Status: sdktrace.Status{Code: codes.Code(kind % 3), Description: text}, DroppedEvents: int(n),
			Attributes: []attribute.KeyValue{attribute.String(name, text), attribute.Int64("n", n), attribute.Float64("x", x)}}
		want, got := both(t, tracetest.SpanStubs{s}.Snapshots())
		if x == x && utf8.ValidString(name) && utf8.ValidString(text) && !proto.Equal(want, got) { // a text that is none is mended, NaN is not equal
			t.Errorf("want %v\ngot  %v", want, got)
		}
	})
}

// FuzzFields: what a collector answers cannot do harm, and is read as the
// official types read it.
func FuzzFields(f *testing.F) {
	f.Add([]byte{0x0a, 0x07, 0x08, 0x03, 0x12, 0x03, 'w', 'h', 'y'})
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{0x09, 1, 2, 3})
	f.Fuzz(func(t *testing.T, answer []byte) {
		read := fields(answer, func(field, _ uint64, b []byte) { _ = fields(b, func(uint64, uint64, []byte) {}) })
		if err := proto.Unmarshal(answer, new(tracepb.TracesData)); err == nil && !read && !grouped(answer) {
			t.Errorf("%x is a message, and was not read", answer)
		}
		_ = refused(answer, protobuf)
	})
}

// grouped reports whether a byte may begin or end a group, which OTLP never had.
func grouped(b []byte) bool {
	return slices.ContainsFunc(b, func(b byte) bool { return b&7 == 3 || b&7 == 4 })
}
