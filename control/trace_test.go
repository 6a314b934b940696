package control

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

const someTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestParseTrace: what is not exactly a traceparent is no trace, and no error
// either.
func TestParseTrace(t *testing.T) {
	for _, tt := range []struct {
		given string
		want  bool
	}{
		{someTrace, true},
		{strings.Replace(someTrace, "-01", "-00", 1), true},
		{"", false},
		{strings.ToUpper(someTrace), false},
		{"ff" + someTrace[2:], false},
		{"01" + someTrace[2:], false}, // a version that is to come
		{someTrace + "-more", false},
		{someTrace + "\n", false},
		{" " + someTrace[1:], false},
		{"00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
		{"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false},
		{strings.Repeat("a", 1<<20), false},
	} {
		if c := ParseTrace(tt.given); c.IsValid() != tt.want || (tt.want && !c.IsRemote()) {
			t.Errorf("%.80q gives %v", tt.given, c)
		}
	}
}

func TestMarkTrace(t *testing.T) {
	h := map[string]string{}
	MarkTrace(t.Context(), h)
	if len(h) != 0 {
		t.Errorf("no trace gives %v", h)
	}
	MarkTrace(trace.ContextWithRemoteSpanContext(t.Context(), ParseTrace(someTrace)), h)
	if len(h) != 1 || h[TraceHeader] != someTrace {
		t.Errorf("a trace gives %v", h)
	}
}

func FuzzParseTrace(f *testing.F) {
	for _, s := range []string{someTrace, "", "00-", someTrace + "-x", "00-\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, given string) {
		c := ParseTrace(given)
		if !c.IsValid() {
			return
		}
		h := map[string]string{}
		MarkTrace(trace.ContextWithRemoteSpanContext(context.Background(), c), h)
		if got := h[TraceHeader]; got[:53] != given[:53] || len(got) != len(given) { // of the flags only those that are known go on
			t.Errorf("%q goes on as %q", given, got)
		}
	})
}
