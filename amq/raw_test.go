package amq_test

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"
)

// raw is a STOMP client that is nothing but a socket.
type raw struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader
}

func dialRaw(t testing.TB, addr string) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return newRaw(t, nc)
}

func newRaw(t testing.TB, nc net.Conn) *raw { return &raw{t: t, nc: nc, br: bufio.NewReader(nc)} }

// send writes one frame; the NUL is added.
func (r *raw) send(f string) {
	r.t.Helper()
	_ = r.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := r.nc.Write([]byte(f + "\x00")); err != nil {
		r.t.Fatal(err)
	}
}

// read returns the next frame's text without heart-beats and NUL.
func (r *raw) read() string {
	r.t.Helper()
	_ = r.nc.SetReadDeadline(time.Now().Add(patience))
	f, err := r.br.ReadString(0)
	if err != nil {
		r.t.Fatalf("read: %v (after %.200q)", err, f)
	}
	return strings.TrimLeft(f[:len(f)-1], "\n")
}

// expect reads a frame that must begin so.
func (r *raw) expect(beginning string) string {
	r.t.Helper()
	f := r.read()
	if !strings.HasPrefix(f, beginning) {
		r.t.Fatalf("got %.300q, want %q", f, beginning)
	}
	return f
}

func (r *raw) connect(version string) {
	r.t.Helper()
	r.send("CONNECT\naccept-version:" + version + "\nhost:x\nlogin:admin\npasscode:admin\n\n")
	r.expect("CONNECTED\n")
}
