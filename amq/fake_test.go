package amq_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/epic-swf/testbed/amq"
)

// fake is a broker that does what a test tells it to.
type fake struct{ *raw }

// newFake listens and runs script for each connection; it ends with the test.
func newFake(t testing.TB, script func(*fake)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, nc)
			mu.Unlock()
			wg.Go(func() {
				defer nc.Close()
				script(&fake{newRaw(t, nc)})
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, nc := range open {
			nc.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// frame returns the next frame of the client, or "" when it is gone. A
// DISCONNECT is answered.
func (f *fake) frame() string {
	s, err := f.br.ReadString(0)
	if err != nil {
		return ""
	}
	s = strings.TrimLeft(s[:len(s)-1], "\n")
	if strings.HasPrefix(s, "DISCONNECT") {
		f.write("RECEIPT\nreceipt-id:" + header(s, "receipt") + "\n\n\x00")
	}
	return s
}

// write sends text as it is; a client that is gone is no failure.
func (f *fake) write(s string) { _, _ = io.WriteString(f.nc, s) }

func (f *fake) accept(heartBeat string) {
	f.frame()
	f.write("CONNECTED\nversion:1.2\nheart-beat:" + heartBeat + "\n\n\x00")
}

// header is the value of one header line of a frame.
func header(frame, name string) string {
	for line := range strings.SplitSeq(frame, "\n") {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return v
		}
	}
	return ""
}

// up fails the test unless c comes up.
func up(t testing.TB, c *amq.Conn) {
	t.Helper()
	if err := c.WaitUp(within(t)); err != nil {
		t.Fatal(err)
	}
}
