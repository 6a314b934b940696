package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Exporter implements sdktrace.SpanExporter: it sends each batch as one request
// and tries again, later and later, while the collector says that it cannot at
// the moment. Make it with New. Safe for concurrent use.
type Exporter struct {
	o      Options
	client *http.Client
}

var _ sdktrace.SpanExporter = (*Exporter)(nil)

// How long it waits after the first and at most after any attempt that failed,
// where the collector names no time.
const (
	firstWait = time.Second
	mostWait  = 16 * time.Second
)

const protobuf = "application/x-protobuf"

// mostAnswer is how much of a collector's answer is read.
const mostAnswer = 64 << 10

// New makes an exporter. It connects when there is something to send.
func New(o Options) *Exporter {
	return &Exporter{o: o, client: &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: o.TLS, ForceAttemptHTTP2: true, MaxIdleConns: 1, IdleConnTimeout: 90 * time.Second},
		Timeout:   o.Timeout,
		// The headers may hold a password: they go to the collector that was
		// named, and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// ExportSpans implements sdktrace.SpanExporter. The error is that of the last
// attempt, or says how many spans the collector has refused.
func (e *Exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	body, err := e.body(spans)
	if err != nil {
		return err
	}
	for wait := firstWait; ; wait = min(2*wait, mostWait) {
		err := e.send(ctx, body)
		var later *laterError
		if !errors.As(err, &later) {
			return err
		}
		// Anywhere in the second half, so that processes which a collector
		// left at one time do not come back at one time.
		pause := time.NewTimer(max(later.after, wait/2+rand.N(wait/2)))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// Shutdown implements sdktrace.SpanExporter.
func (e *Exporter) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

func (e *Exporter) body(spans []sdktrace.ReadOnlySpan) ([]byte, error) {
	body := request(spans)
	if !e.o.Gzip {
		return body, nil
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(body)
	err = errors.Join(err, w.Close()) // which writes the end
	return b.Bytes(), err
}

// laterError is of an attempt that the collector wants to see another time: not
// before the time that it named, if it did.
type laterError struct {
	error
	after time.Duration
}

// send makes one attempt.
func (e *Exporter) send(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.o.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range e.o.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", protobuf)
	if e.o.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 == 2 {
		return refused(answer, resp.Header.Get("Content-Type"))
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout: // of the specification
		seconds, _ := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16)
		return &laterError{error: errors.New("the collector answers " + resp.Status), after: time.Duration(seconds) * time.Second}
	}
	return errors.New("the collector answers " + resp.Status)
}

// refused reads an ExportTraceServiceResponse: the collector may have taken
// some spans and not others, which is no reason to send them again.
func refused(answer []byte, contentType string) error {
	if contentType != protobuf {
		return nil
	}
	var spans uint64
	why := ""
	fields(answer, func(field, _ uint64, partial []byte) {
		if field != 1 {
			return
		}
		fields(partial, func(field, v uint64, b []byte) {
			switch field {
			case 1:
				spans = v
			case 2:
				why = string(b)
			}
		})
	})
	if spans == 0 {
		return nil
	}
	return fmt.Errorf("the collector has refused %d spans: %s", spans, why)
}
