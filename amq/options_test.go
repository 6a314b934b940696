package amq_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
)

// certificate makes a self-signed one for the names and returns its files.
func certificate(t *testing.T, names ...string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kd, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kd}))
	return cert, key
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOptionsFromEnv(t *testing.T) {
	cert, key := certificate(t, "localhost")
	junk := filepath.Join(t.TempDir(), "junk")
	write(t, junk, []byte("not a certificate"))
	for name, c := range map[string]struct {
		env  string
		want string // in the error
		addr string
		tls  bool
	}{
		"defaults":         {addr: "localhost:61612"},
		"host and port":    {env: "HOST=h PORT=1", addr: "h:1"},
		"IPv6":             {env: "HOST=::1 PORT=1", addr: "[::1]:1"},
		"bad port":         {env: "PORT=http", want: "ACTIVEMQ_PORT"},
		"port 0":           {env: "PORT=0", want: "ACTIVEMQ_PORT"},
		"plain":            {env: "USE_SSL=False SSL_CA_CERTS=" + cert, addr: "localhost:61612"},
		"unknown word":     {env: "USE_SSL=yes", want: "must be true or false"},
		"no CA":            {env: "USE_SSL=true", want: "names no file"},
		"CA missing":       {env: "USE_SSL=True SSL_CA_CERTS=/nowhere/ca.pem", want: "cannot be read"},
		"CA is junk":       {env: "USE_SSL=true SSL_CA_CERTS=" + junk, want: "holds no PEM"},
		"verified":         {env: "USE_SSL=TRUE SSL_CA_CERTS=" + cert, addr: "localhost:61612", tls: true},
		"client":           {env: "USE_SSL=true SSL_CA_CERTS=" + cert + " SSL_CERT_FILE=" + cert + " SSL_KEY_FILE=" + key, addr: "localhost:61612", tls: true},
		"client, no key":   {env: "USE_SSL=true SSL_CA_CERTS=" + cert + " SSL_CERT_FILE=" + cert, want: "go together"},
		"client, bad pair": {env: "USE_SSL=true SSL_CA_CERTS=" + cert + " SSL_CERT_FILE=" + cert + " SSL_KEY_FILE=" + junk, want: "cannot be used"},
		"line end":         {env: "USER=a\nb", want: "line end"},
	} {
		t.Run(name, func(t *testing.T) {
			vars := map[string]string{}
			for v := range strings.SplitSeq(c.env, " ") {
				k, x, _ := strings.Cut(v, "=")
				vars["ACTIVEMQ_"+k] = x
			}
			o, err := amq.OptionsFromEnv(func(k string) string { return vars[k] })
			if c.want != "" {
				var e *amq.Error
				if !errors.As(err, &e) || e.Code != amq.CodeInvalidSettings || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %v, want an error with %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if o.Addr != c.addr || (o.TLS != nil) != c.tls || o.Login != "admin" || o.Passcode != "admin" {
				t.Errorf("got %+v", o)
			}
			if o.TLS != nil && (o.TLS.InsecureSkipVerify || o.TLS.RootCAs == nil || o.TLS.ServerName != "localhost") {
				t.Error("TLS is not verified")
			}
		})
	}
}

// TLS is verified: the right CA and name, or no connection.
func TestTLS(t *testing.T) {
	right, key := certificate(t, "127.0.0.1")
	wrong, _ := certificate(t, "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(right, key)
	if err != nil {
		t.Fatal(err)
	}
	e := newEmbedded(t, broker.Options{Login: "admin", Passcode: "admin"})
	outside := tlsFront(t, e.Addr(), &tls.Config{Certificates: []tls.Certificate{pair}})
	host, port, _ := net.SplitHostPort(outside)
	for name, c := range map[string]struct{ host, ca, ssl, want string }{
		"right":      {host, right, "true", ""},
		"wrong CA":   {host, wrong, "true", "certificate"},
		"wrong name": {"localhost", right, "true", "certificate"},
		"plain":      {host, "", "false", ""},
	} {
		t.Run(name, func(t *testing.T) {
			vars := map[string]string{"ACTIVEMQ_HOST": c.host, "ACTIVEMQ_PORT": port, "ACTIVEMQ_USE_SSL": c.ssl, "ACTIVEMQ_SSL_CA_CERTS": c.ca}
			o, err := amq.OptionsFromEnv(func(k string) string { return vars[k] })
			if err != nil {
				t.Fatal(err)
			}
			o.BackoffMin = 10 * time.Millisecond
			conn := amq.New(o)
			start(t, conn)
			if name == "right" {
				up(t, conn)
				got, _ := collect(t, conn, "/queue/q", amq.SubscribeOptions{}, true)
				publish(t, conn, "/queue/q", strings.Repeat("long", 20_000))
				next(t, got, "the message")
				return
			}
			for conn.LastError() == nil {
				next(t, amq.Changed(conn), "the failure")
			}
			if !strings.Contains(conn.LastError().Error(), c.want) || conn.Up() {
				t.Errorf("got %v", conn.LastError())
			}
		})
	}
}

func TestChecks(t *testing.T) {
	for _, good := range []string{"/queue/a", "/topic/epictopic", "/queue/testbed.ann-2.control", "/queue/agent_control.root", "/topic/VirtualTopic.a/b", "/queue/" + strings.Repeat("a", 200)} {
		if err := amq.CheckDestination(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "q", "/queue/", "/queue", "queue/a", "/temp-queue/x", "/remote-temp-queue/x", "/queue/a b", "/queue/a\nb", "/queue/a\r", "/queue/a\x00",
		"/queue/a:b", "/queue/*", "/topic/>", "/queue/a,/queue/b", "/queue/a::b", "/queue/a?consumer.exclusive=true", "/queue/é", "/queue/-a", "/queue/" + strings.Repeat("a", 201)} {
		var e *amq.Error
		if err := amq.CheckDestination(bad); !errors.As(err, &e) || e.Code != amq.CodeInvalidDestination {
			t.Errorf("%q: %v", bad, err)
		}
	}
	c := amq.New(amq.Options{Addr: "127.0.0.1:1"})
	for _, m := range []amq.Message{
		{Destination: "/queue/a", Headers: map[string]string{"a\nb": "c"}},
		{Destination: "/queue/a", Headers: map[string]string{"a:b": "c"}},
		{Destination: "/queue/a", Headers: map[string]string{"": "c"}},
		{Destination: "/queue/a", Headers: map[string]string{"a": "b\ninjected:1"}},
		{Destination: "/queue/a", Headers: map[string]string{"a": "b\x00"}},
		{Destination: "/queue/a", Headers: map[string]string{"destination": "/queue/b"}},
		{Destination: "/queue/a", Headers: map[string]string{"receipt": "r"}},
		{Destination: "/queue/a", Body: []byte("a\x00b")},
		{Destination: "/queue/a", Body: make([]byte, amq.MaxBody+1)},
	} {
		var e *amq.Error
		if err := c.Publish(t.Context(), m); !errors.As(err, &e) || e.Code != amq.CodeInvalidMessage {
			t.Errorf("%v: %v", m.Headers, err)
		}
	}
	for _, s := range []*amq.Subscription{
		c.Subscribe("/queue/*", amq.SubscribeOptions{}, nil),
		c.Subscribe("/queue/a", amq.SubscribeOptions{Headers: map[string]string{"reply-to": "x"}}, nil),
		c.Subscribe("/queue/a", amq.SubscribeOptions{Headers: map[string]string{"selector": "a\nb"}}, nil),
	} {
		if s.Err() == nil {
			t.Error("subscribed")
		}
		s.Close()
	}
	var e *amq.Error
	if err := amq.New(amq.Options{Addr: "nowhere"}).Run(t.Context()); !errors.As(err, &e) || e.Code != amq.CodeInvalidSettings {
		t.Errorf("got %v", err)
	}
}

func TestBackoff(t *testing.T) {
	const least, most = 500 * time.Millisecond, 15 * time.Second
	spread := map[time.Duration]bool{}
	for attempt := range 1000 {
		d := amq.Backoff(attempt, least, most)
		limit := most
		if attempt < 10 {
			limit = min(most, least<<(attempt+1))
		}
		if d < least || d > limit {
			t.Errorf("attempt %d: %v is not within %v and %v", attempt, d, least, limit)
		}
		spread[d] = true
	}
	if len(spread) < 900 {
		t.Errorf("only %d different times: no jitter", len(spread))
	}
}
