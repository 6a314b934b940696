package amq

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Options say which broker and how. The zero value of each field but Addr has
// a default.
type Options struct {
	Addr            string        // host:port
	Login, Passcode string        // both empty: none sent
	Host            string        // STOMP virtual host; default the host of Addr
	ClientID        string        // client-id of the consuming connection; the publishing one appends "-pub"
	TLS             *tls.Config   // nil: plain TCP
	HeartBeat       time.Duration // both ways; default 10 s. A silent broker is given up after 2.25 of it
	BackoffMin      time.Duration // default 0.5 s
	BackoffMax      time.Duration // default 15 s
	Log             *slog.Logger  // default: silent
}

func (o Options) withDefaults() Options {
	if o.HeartBeat <= 0 {
		o.HeartBeat = 10 * time.Second
	}
	if o.BackoffMin <= 0 {
		o.BackoffMin = 500 * time.Millisecond
	}
	if o.BackoffMax < o.BackoffMin {
		o.BackoffMax = max(15*time.Second, o.BackoffMin)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if h, _, err := net.SplitHostPort(o.Addr); err == nil && o.Host == "" {
		o.Host = h
	}
	return o
}

func (o *Options) check() error {
	if _, _, err := net.SplitHostPort(o.Addr); err != nil {
		return fault(CodeInvalidSettings, err, "broker address %q is not HOST:PORT", o.Addr)
	}
	for name, v := range map[string]string{"login": o.Login, "passcode": o.Passcode, "virtual host": o.Host, "client id": o.ClientID} {
		if strings.ContainsAny(v, "\r\n\x00") {
			return fault(CodeInvalidSettings, nil, "the broker's %s holds a line end or NUL", name)
		}
	}
	return nil
}

// OptionsFromEnv reads the ACTIVEMQ_ variables (upstream-contract, section 4):
// HOST, PORT, USER, PASSWORD with the defaults localhost, 61612, admin, admin;
// USE_SSL, which is true or false; SSL_CA_CERTS, SSL_CERT_FILE, SSL_KEY_FILE.
// With USE_SSL=true the broker's certificate is always verified against
// SSL_CA_CERTS: a file that is missing or holds no certificate is an *Error,
// and nothing falls back to plain TCP.
func OptionsFromEnv(get func(string) string) (Options, error) {
	env := func(name, def string) string {
		if v := strings.TrimSpace(get("ACTIVEMQ_" + name)); v != "" {
			return v
		}
		return def
	}
	host, port := env("HOST", "localhost"), env("PORT", "61612")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return Options{}, fault(CodeInvalidSettings, nil, "ACTIVEMQ_PORT %q is not a port number", port)
	}
	o := Options{Addr: net.JoinHostPort(host, port), Host: host, Login: env("USER", "admin"), Passcode: env("PASSWORD", "admin")}
	switch use := strings.ToLower(env("USE_SSL", "false")); use {
	case "false":
	case "true":
		cfg, err := tlsConfig(host, env("SSL_CA_CERTS", ""), env("SSL_CERT_FILE", ""), env("SSL_KEY_FILE", ""))
		if err != nil {
			return Options{}, err
		}
		o.TLS = cfg
	default:
		return Options{}, fault(CodeInvalidSettings, nil, "ACTIVEMQ_USE_SSL is %q; it must be true or false", use)
	}
	return o, o.check()
}

func tlsConfig(host, ca, cert, key string) (*tls.Config, error) {
	if ca == "" {
		return nil, fault(CodeInvalidSettings, nil, "ACTIVEMQ_USE_SSL is true but ACTIVEMQ_SSL_CA_CERTS names no file")
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fault(CodeInvalidSettings, err, "ACTIVEMQ_SSL_CA_CERTS cannot be read")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fault(CodeInvalidSettings, nil, "ACTIVEMQ_SSL_CA_CERTS %s holds no PEM certificate", ca)
	}
	c := &tls.Config{RootCAs: pool, ServerName: host, MinVersion: tls.VersionTLS12}
	if cert == "" && key == "" {
		return c, nil
	}
	if cert == "" || key == "" {
		return nil, fault(CodeInvalidSettings, nil, "ACTIVEMQ_SSL_CERT_FILE and ACTIVEMQ_SSL_KEY_FILE go together; one is empty")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fault(CodeInvalidSettings, err, "the client certificate of ACTIVEMQ_SSL_CERT_FILE cannot be used")
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}
