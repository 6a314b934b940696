package web

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/epic-swf/testbed/swf"
)

// Certificate is a certificate with its key, in two PEM files that are read
// again when they change: renewing one takes no restart.
type Certificate struct {
	cert, key string
	log       *slog.Logger

	mu    sync.Mutex
	stamp string
	now   *tls.Certificate
}

// LoadCertificate reads the files. Errors are *swf.Error (bad_environment).
func LoadCertificate(cert, key string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key, log: log}
	if err := c.load(c.files()); err != nil {
		return nil, swf.E(swf.CodeEnvironment, fmt.Sprintf("the certificate in %s with the key in %s cannot be used: %v", cert, key, err),
			"name PEM files that belong together and that you may read").Because(err)
	}
	return c, nil
}

// Listener makes one that speaks TLS 1.2 or later on top of ln, and no HTTP/2:
// there a connection can hold hundreds of requests, which the cap on
// connections would not see.
func (c *Certificate) Listener(ln net.Listener) net.Listener {
	return tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.get})
}

func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	stamp := c.files()
	c.mu.Lock()
	defer c.mu.Unlock()
	if stamp != c.stamp {
		if err := c.load(stamp); err != nil { // half written, perhaps: the old one still serves
			c.log.Error("the new certificate cannot be used", "file", c.cert, "err", err)
			c.stamp = stamp
		}
	}
	return c.now, nil
}

// load reads the files; the caller holds the lock, or nobody else has c yet.
func (c *Certificate) load(stamp string) error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err == nil {
		c.now, c.stamp = &pair, stamp
	}
	return err
}

// files says in which state the files are.
func (c *Certificate) files() string {
	stamp := ""
	for _, path := range []string{c.cert, c.key} {
		if info, err := os.Stat(path); err == nil {
			stamp += fmt.Sprint(info.ModTime().UnixNano(), info.Size(), ";")
		}
	}
	return stamp
}
