package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func from(vars map[string]string) (Options, error) {
	return FromEnv(func(k string) string { return strings.TrimSpace(vars[strings.TrimPrefix(k, prefix)]) })
}

func TestFromEnv(t *testing.T) {
	const usual = "http://localhost:4318/v1/traces"
	for name, c := range map[string]struct {
		vars map[string]string
		want Options
	}{
		"nothing":                {nil, Options{URL: usual}},
		"base":                   {map[string]string{"ENDPOINT": "http://c:1"}, Options{URL: "http://c:1/v1/traces"}},
		"base with a path":       {map[string]string{"ENDPOINT": "https://c/otlp/"}, Options{URL: "https://c/otlp/v1/traces"}},
		"of traces, as it is":    {map[string]string{"ENDPOINT": "http://c:1", "TRACES_ENDPOINT": "http://d:2/here"}, Options{URL: "http://d:2/here"}},
		"of traces, no path":     {map[string]string{"TRACES_ENDPOINT": "http://d:2"}, Options{URL: "http://d:2/"}},
		"headers":                {map[string]string{"HEADERS": "a=1, b-c = x%20y,,d="}, Options{URL: usual, Headers: map[string]string{"a": "1", "b-c": "x y", "d": ""}}},
		"headers of traces":      {map[string]string{"HEADERS": "a=1", "TRACES_HEADERS": "b=2=3"}, Options{URL: usual, Headers: map[string]string{"b": "2=3"}}},
		"gzip":                   {map[string]string{"COMPRESSION": "gzip"}, Options{URL: usual, Gzip: true}},
		"gzip, not for traces":   {map[string]string{"COMPRESSION": "gzip", "TRACES_COMPRESSION": "none"}, Options{URL: usual}},
		"timeout":                {map[string]string{"TIMEOUT": "1500"}, Options{URL: usual, Timeout: 1500 * time.Millisecond}},
		"timeout of traces wins": {map[string]string{"TIMEOUT": "1", "TRACES_TIMEOUT": "2"}, Options{URL: usual, Timeout: 2 * time.Millisecond}},
	} {
		if c.want.Timeout == 0 {
			c.want.Timeout = 10 * time.Second
		}
		got, err := from(c.vars)
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestFromEnvRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, value, says string }{
		{"ENDPOINT", "collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT is no URL"},
		{"ENDPOINT", "ftp://collector", "is no URL"},
		{"TRACES_ENDPOINT", "http://", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is no URL"},
		{"ENDPOINT", "http://secret@c:\x7f", "is no URL"},
		{"HEADERS", "secret", "OTEL_EXPORTER_OTLP_HEADERS is no list"},
		{"HEADERS", "a b=secret", "is no list"},
		{"HEADERS", "a=secret%0d%0aHost: evil", "is no list"},
		{"TRACES_HEADERS", "a=secret%zz", "OTEL_EXPORTER_OTLP_TRACES_HEADERS is no list"},
		{"COMPRESSION", "br", `COMPRESSION is "br", neither gzip nor none`},
		{"TIMEOUT", "10s", "no number of milliseconds"},
		{"TIMEOUT", "-1", "no number of milliseconds"},
		{"CERTIFICATE", filepath.Join(t.TempDir(), "absent"), "OTEL_EXPORTER_OTLP_CERTIFICATE: open"},
		{"CERTIFICATE", empty, "holds no certificate"},
		{"CLIENT_CERTIFICATE", empty, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY"},
	} {
		_, err := from(map[string]string{c.name: c.value})
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s=%q: %v", c.name, c.value, err)
		}
	}
}

// TestCertificates: the collector's is checked against the authority that is
// named, and ours is shown.
func TestCertificates(t *testing.T) {
	var shown int
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { shown = len(r.TLS.PeerCertificates) }))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	defer s.Close()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := s.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := write("cert.pem", "CERTIFICATE", own.Certificate[0]), write("key.pem", "PRIVATE KEY", der)
	for want, vars := range []map[string]string{
		0: {"ENDPOINT": s.URL, "CERTIFICATE": cert},
		1: {"ENDPOINT": s.URL, "CERTIFICATE": cert, "CLIENT_CERTIFICATE": cert, "CLIENT_KEY": key},
		2: {"ENDPOINT": s.URL},
	} {
		o, err := from(vars)
		if err != nil {
			t.Fatal(err)
		}
		e := New(o)
		err = e.ExportSpans(t.Context(), one().Snapshots())
		_ = e.Shutdown(t.Context())
		if unknown := want == 2; unknown != (err != nil) || !unknown && shown != want {
			t.Errorf("%v: %v, %d certificates of ours shown", vars, err, shown)
		}
	}
}
