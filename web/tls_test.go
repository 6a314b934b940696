package web_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

// writeCertificate makes a certificate for 127.0.0.1 and returns what trusts it.
func writeCertificate(t *testing.T, dir string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var cert bytes.Buffer
	_ = pem.Encode(&cert, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert.Bytes())
	for name, text := range map[string][]byte{"cert.pem": cert.Bytes(), "key.pem": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(serial) * time.Second) // not in the same tick of the file system's clock as the one before
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return pool
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := web.LoadCertificate(cert, key, nil); !swf.IsCode(err, swf.CodeEnvironment) {
		t.Fatalf("no files: %v", err)
	}
	first := writeCertificate(t, dir, 1)
	var said bytes.Buffer
	c, err := web.LoadCertificate(cert, key, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- (&web.Server{Listener: c.Listener(ln), Handler: web.Guard(hello, web.GuardOptions{})}).Run(ctx)
	}()
	get := func(roots *x509.CertPool, versions ...uint16) (*http.Response, error) {
		config := &tls.Config{RootCAs: roots}
		if len(versions) > 0 {
			config.MaxVersion = versions[0]
		}
		tr := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Get("https://" + ln.Addr().String())
		if err == nil {
			resp.Body.Close()
		}
		return resp, err
	}
	if resp, err := get(first); err != nil || resp.StatusCode != 200 || resp.ProtoMajor != 1 {
		t.Errorf("%+v, %v", resp, err)
	}
	if _, err := get(first, tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	second := writeCertificate(t, dir, 2)
	if resp, err := get(second); err != nil || resp.StatusCode != 200 {
		t.Errorf("the new certificate: %+v, %v", resp, err)
	}
	if err := os.WriteFile(cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := get(second); err != nil || !strings.Contains(said.String(), "the new certificate cannot be used") {
		t.Errorf("a broken file: %v, and said %q", err, said.String())
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestTheOwnAddressIsAName: whoever asks for the address that a connection came
// to was not led there by a name.
func TestTheOwnAddressIsAName(t *testing.T) {
	h := web.Guard(hello, web.GuardOptions{})
	for host, want := range map[string]int{"192.0.2.1:8443": 200, "192.0.2.1": 200, "[::ffff:192.0.2.1]:1": 200, "192.0.2.2": 403, "evil.example": 403} {
		r := httptest.NewRequest("GET", "http://x/", nil)
		r = r.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8443}))
		r.Host = host
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%s: %d, want %d", host, w.Code, want)
		}
	}
}
