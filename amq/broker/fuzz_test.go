package broker

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// FuzzRead: no input makes the reader panic or hold more than its limits, and
// what it took in comes out as it was, by the rules of the version.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"\n\r\n", "SEND\na:b\n\nx\x00", "SEND\ncontent-length:2\n\n\x00\x00\x00", "CONNECT\naccept-version:1.2\n\n\x00",
		"SEND\na\\c:\\n\\r\\\\\n\n\x00", "SEND\na:\\t\n\n\x00", "SEND\ncontent-length:4294967295\n\n\x00", "ACK\r\nid:1\r\n\r\n\x00"} {
		for v := range versions {
			f.Add(s, uint8(v))
		}
	}
	const maxBody = 4096
	f.Fuzz(func(t *testing.T, s string, which uint8) {
		v := version(which % uint8(len(versions)))
		r := frameReader{br: bufio.NewReaderSize(strings.NewReader(s), lineSize), maxBody: maxBody, maxHeaders: maxHeaders}
		for {
			fr, err := r.read(v)
			if err != nil {
				return
			}
			if len(fr.Body) > maxBody || fr.Header.Len() > maxHeaders || cap(r.lines) > 2*headerSize {
				t.Fatalf("%d bytes, %d headers", len(fr.Body), fr.Header.Len())
			}
			m := newMessage(1, fr)
			out := string(m.appendTail([]byte("SEND\n"), v))
			back := frameReader{br: bufio.NewReaderSize(strings.NewReader(out), 1<<20), maxBody: maxBody, maxHeaders: maxHeaders + 2}
			again, err := back.read(v)
			if err != nil || m.sized && string(again.Body) != string(fr.Body) {
				t.Fatalf("%q became %q: %v", s, out, err)
			}
			for i := 0; i < len(m.header); i += 2 {
				if got, ok := again.Header.Contains(m.header[i]); ok && got != m.header[i+1] && !strings.HasSuffix(m.header[i+1], "\r") {
					t.Fatalf("header %q became %q", m.header[i+1], got)
				}
			}
			if again.Header.Len() > fr.Header.Len()+2 {
				t.Fatalf("%q injected headers: %q", s, out)
			}
		}
	})
}

// FuzzSession: a whole session survives any bytes after CONNECT.
func FuzzSession(f *testing.F) {
	for _, s := range []string{"SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\n\n\x00SEND\ndestination:/queue/a\n\nx\x00ACK\nid:2-3\n\n\x00UNSUBSCRIBE\nid:1\n\n\x00",
		"BEGIN\ntransaction:t\n\n\x00SEND\ndestination:/topic/a\ntransaction:t\n\n\x00COMMIT\ntransaction:t\n\n\x00", "NACK\nid:-\n\n\x00", "DISCONNECT\nreceipt:1\n\n\x00"} {
		for v := range versions {
			f.Add(s, uint8(v))
		}
	}
	f.Fuzz(func(t *testing.T, s string, which uint8) {
		b := New(Options{})
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			newSession(b, theirs).run()
		}()
		go func() { _, _ = io.Copy(io.Discard, ours) }()
		_ = ours.SetWriteDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(ours, "CONNECT\naccept-version:"+versions[which%3]+"\n\n\x00"+s)
		ours.Close()
		<-done
		if b.held.Load() < 0 {
			t.Errorf("%d bytes held", b.held.Load())
		}
		for _, q := range b.queues {
			if len(q.subs) > 0 {
				t.Error("a subscription stayed behind")
			}
		}
	})
}

// Nothing stays when nobody needs it.
func TestTidy(t *testing.T) {
	now := time.Unix(1000, 0)
	b := New(Options{Now: func() time.Time { return now }})
	run := func(s string) {
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			newSession(b, theirs).run()
		}()
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			_, _ = io.Copy(io.Discard, ours)
		}()
		_, _ = io.WriteString(ours, "CONNECT\naccept-version:1.1\n\n\x00"+s+"DISCONNECT\n\n\x00")
		<-done
		ours.Close()
		<-drained
	}
	run("SUBSCRIBE\nid:1\ndestination:/queue/a\n\n\x00SUBSCRIBE\nid:2\ndestination:/topic/a\n\n\x00SEND\ndestination:/topic/a\n\n\x00SEND\ndestination:/topic/b\n\n\x00")
	if len(b.queues) != 0 || len(b.topics) != 0 || b.held.Load() != 0 {
		t.Errorf("%d queues, %d topics, %d bytes stay", len(b.queues), len(b.topics), b.held.Load())
	}
	run("SEND\ndestination:/queue/a\nexpires:1000500\n\nx\x00SEND\ndestination:/queue/a\nexpires:1002000\n\nx\x00")
	b.sweepOnce()
	if q := b.queues["/queue/a"]; q == nil || q.waiting() != 2 {
		t.Fatal("swept too early")
	}
	now = now.Add(time.Second)
	b.sweepOnce()
	if q := b.queues["/queue/a"]; q == nil || q.waiting() != 1 {
		t.Fatal("the expired message stays, or the other went")
	}
	now = now.Add(time.Second)
	b.sweepOnce()
	if len(b.queues) != 0 || b.held.Load() != 0 {
		t.Errorf("%d queues, %d bytes stay", len(b.queues), b.held.Load())
	}
}
