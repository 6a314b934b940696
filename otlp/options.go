package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Options say where traces go.
type Options struct {
	URL     string            // where requests are sent, with its path
	Headers map[string]string // of each request; may hold a password
	Gzip    bool              // compress requests
	Timeout time.Duration     // of one attempt; 0: as long as the caller's context
	TLS     *tls.Config       // nil: the system's authorities, no certificate of ours
}

// prefix is that of the variables. Each has a second form for traces alone,
// which wins.
const prefix = "OTEL_EXPORTER_OTLP_"

// FromEnv reads the variables that the specification of the OTLP exporter
// defines: OTEL_EXPORTER_OTLP_ENDPOINT (the default is http://localhost:4318),
// _HEADERS, _COMPRESSION, _TIMEOUT, _CERTIFICATE, _CLIENT_CERTIFICATE and
// _CLIENT_KEY, each also as OTEL_EXPORTER_OTLP_TRACES_… An error names the
// variable and never shows what HEADERS holds.
func FromEnv(getenv func(string) string) (Options, error) {
	e := environ{getenv}
	o := Options{Timeout: 10 * time.Second}
	var err error
	if o.URL, err = e.url(); err != nil {
		return o, err
	}
	if o.Headers, err = e.headers(); err != nil {
		return o, err
	}
	switch name, v := e.first("COMPRESSION"); v {
	case "gzip":
		o.Gzip = true
	case "", "none":
	default:
		return o, fmt.Errorf("%s is %q, neither gzip nor none", name, v)
	}
	if name, v := e.first("TIMEOUT"); v != "" {
		ms, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return o, fmt.Errorf("%s is %q, no number of milliseconds", name, v)
		}
		o.Timeout = time.Duration(ms) * time.Millisecond
	}
	o.TLS, err = e.tls()
	return o, err
}

type environ struct{ getenv func(string) string }

// first is the variable of that name which counts, and its value.
func (e environ) first(name string) (variable, value string) {
	for _, variable = range []string{prefix + "TRACES_" + name, prefix + name} {
		if value = strings.TrimSpace(e.getenv(variable)); value != "" {
			return variable, value
		}
	}
	return variable, ""
}

// url is the endpoint for traces as it is, or the path of traces below the one
// for everything.
func (e environ) url() (string, error) {
	name, v := e.first("ENDPOINT")
	if v == "" {
		v = "http://localhost:4318"
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%s is no URL of the form http://HOST:PORT or https://HOST:PORT", name)
	}
	if name == prefix+"ENDPOINT" {
		u = u.JoinPath("v1", "traces")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String(), nil
}

// headers are pairs as of W3C Baggage: name=value,name=value, the values
// percent-encoded.
func (e environ) headers() (map[string]string, error) {
	name, v := e.first("HEADERS")
	all := map[string]string{}
	for pair := range strings.SplitSeq(v, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !ok || err != nil || !token(key) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, fmt.Errorf("%s is no list of the form name=value,name=value", name)
		}
		all[key] = value
	}
	return all, nil
}

// token reports whether s can be the name of a header (RFC 9110).
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

func (e environ) tls() (*tls.Config, error) {
	authorities, ca := e.first("CERTIFICATE")
	certificate, cert := e.first("CLIENT_CERTIFICATE")
	keyName, key := e.first("CLIENT_KEY")
	if ca == "" && cert == "" && key == "" {
		return nil, nil
	}
	c := new(tls.Config)
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", authorities, err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: %s holds no certificate in PEM", authorities, ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", certificate, keyName, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
