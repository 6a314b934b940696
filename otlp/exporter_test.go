package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func one() tracetest.SpanStubs { return tracetest.SpanStubs{{Name: "one"}} }

// TestRequest: what a collector sees.
func TestRequest(t *testing.T) {
	for _, compress := range []bool{false, true} {
		var seen *http.Request
		var body []byte
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			seen = r
			body, _ = io.ReadAll(r.Body)
		}))
		e := New(Options{URL: s.URL + "/v1/traces", Headers: map[string]string{"Api-Key": "secret"}, Gzip: compress, Timeout: time.Minute})
		err := errors.Join(e.ExportSpans(t.Context(), nil), e.ExportSpans(t.Context(), one().Snapshots()), e.Shutdown(t.Context()))
		s.Close()
		if err != nil {
			t.Fatal(err)
		}
		if compress {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			body, _ = io.ReadAll(z)
		}
		var got tracepb.TracesData
		if err := proto.Unmarshal(body, &got); err != nil || got.ResourceSpans[0].ScopeSpans[0].Spans[0].Name != "one" {
			t.Errorf("%v, %v", err, &got)
		}
		h := seen.Header
		if seen.Method != "POST" || seen.URL.Path != "/v1/traces" || h.Get("Content-Type") != protobuf || h.Get("Api-Key") != "secret" || (h.Get("Content-Encoding") == "gzip") != compress {
			t.Errorf("%s %s %v", seen.Method, seen.URL, h)
		}
	}
}

// answers is a collector that answers with one after the other.
type answers struct {
	list []http.Response
	at   []time.Duration // when each was given
	from time.Time
}

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	a.at = append(a.at, time.Since(a.from))
	if len(a.list) == 0 {
		return nil, errors.New("nobody listens")
	}
	r := a.list[0]
	if r.Body == nil {
		r.Body = http.NoBody
	}
	if len(a.list) > 1 {
		a.list = a.list[1:]
	}
	return &r, nil
}

func answer(code int, header ...string) http.Response {
	r := http.Response{StatusCode: code, Status: http.StatusText(code), Header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// TestAnswers: when it tries again, when it gives up, and what it says.
func TestAnswers(t *testing.T) {
	partly := answer(200, "Content-Type", protobuf)
	partly.Body = io.NopCloser(strings.NewReader("\x0a\x07\x08\x03\x12\x03why"))
	for _, c := range []struct {
		name     string
		answers  []http.Response
		attempts int
		least    time.Duration // until the last
		err      string
	}{
		{"taken", []http.Response{answer(200)}, 1, 0, ""},
		{"taken, another 2xx", []http.Response{answer(202)}, 1, 0, ""},
		{"too busy, then taken", []http.Response{answer(429), answer(503), answer(504), answer(502), answer(200)}, 5, 7 * time.Second, ""},
		{"names a time", []http.Response{answer(503, "Retry-After", "12"), answer(200)}, 2, 12 * time.Second, ""},
		{"names nonsense", []http.Response{answer(503, "Retry-After", "-1"), answer(200)}, 2, time.Second / 2, ""},
		{"names a time too far away", []http.Response{answer(503, "Retry-After", "3600")}, 1, 0, "Service Unavailable"},
		{"always busy", []http.Response{answer(503)}, 5, 7 * time.Second, "Service Unavailable"},
		{"wrong", []http.Response{answer(400)}, 1, 0, "Bad Request"},
		{"wrong password", []http.Response{answer(401)}, 1, 0, "Unauthorized"},
		{"is elsewhere", []http.Response{answer(307, "Location", "http://evil.example/")}, 1, 0, "Temporary Redirect"},
		{"takes a part", []http.Response{partly}, 1, 0, "has refused 3 spans: why"},
		{"is away", nil, 1, 0, "nobody listens"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &answers{list: c.answers, from: time.Now()}
			e := New(Options{URL: "http://collector/"})
			e.client.Transport = a
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			err := e.ExportSpans(ctx, one().Snapshots())
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%s: %v", c.name, err)
			}
			if last := a.at[len(a.at)-1]; len(a.at) < c.attempts || c.err == "" && len(a.at) != c.attempts || last < c.least || last > 30*time.Second {
				t.Errorf("%s: attempts at %v", c.name, a.at)
			}
		})
	}
}
