package amq_test

import (
	"io"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/amq"
)

func TestSanitize(t *testing.T) {
	long := strings.Repeat("x", 9000)
	many := strings.Repeat("a:b\n", 100)
	for name, c := range map[string]struct {
		in    string
		want  []string // frames
		error string
	}{
		"heart-beats":       {in: "\n\r\n", want: []string{"\n", "\n"}},
		"text":              {in: "MESSAGE\na:b\n\nbody\x00", want: []string{"MESSAGE\na:b\n\nbody\x00"}},
		"sized":             {in: "MESSAGE\r\ncontent-length:3\r\na:b\r\n\r\nx\x00y\x00", want: []string{"MESSAGE\na:b\ncontent-length:3\n\nx\x00y\x00"}},
		"sized twice":       {in: "MESSAGE\ncontent-length:1\ncontent-length:99\n\nx\x00", want: []string{"MESSAGE\ncontent-length:1\n\nx\x00"}},
		"two":               {in: "RECEIPT\nreceipt-id:1\n\n\x00\nMESSAGE\n\n\x00", want: []string{"RECEIPT\nreceipt-id:1\n\n\x00", "\n", "MESSAGE\n\n\x00"}},
		"no beats promised": {in: "CONNECTED\nversion:1.2\nheart-beat:0,10\n\n\x00", want: []string{"CONNECTED\nversion:1.2\n\n\x00"}},
		"beats promised":    {in: "CONNECTED\nheart-beat:10,10\n\n\x00", want: []string{"CONNECTED\nheart-beat:10,10\n\n\x00"}},
		"long header":       {in: "MESSAGE\nack:1\nh:" + long + "\n\nbody\x00MESSAGE\n\n\x00", want: []string{"MESSAGE\nack:1\namq-oversized:1\n\n\x00", "MESSAGE\n\n\x00"}},
		"long ack":          {in: "MESSAGE\nack:" + long + "\n\n\x00", error: "malformed"},
		"many headers":      {in: "MESSAGE\n" + many + "message-id:7\n\nx\x00", want: []string{"MESSAGE\n" + strings.Repeat("a:b\n", 64) + "message-id:7\namq-oversized:1\n\n\x00"}},
		"no name":           {in: "MESSAGE\n:x\n\n\x00", error: "malformed"},
		"no colon":          {in: "MESSAGE\nx\n\n\x00", error: "malformed"},
		"client's frame":    {in: "SEND\n\n\x00", error: "malformed"},
		"HTTP":              {in: "HTTP/1.1 400 Bad\n", error: "is this a STOMP port"},
		"negative":          {in: "MESSAGE\ncontent-length:-1\n\n\x00", error: "content-length"},
		"huge":              {in: "MESSAGE\ncontent-length:99999999999999999999\n\n\x00", error: "content-length"},
		"huge but a number": {in: "MESSAGE\ncontent-length:4294967296\n\nx", error: "EOF"},
		"no NUL":            {in: "MESSAGE\ncontent-length:1\n\nxy", error: "no NUL"},
	} {
		t.Run(name, func(t *testing.T) {
			got, most, err := amq.Sanitize(strings.NewReader(c.in))
			if c.error == "" && err != io.EOF || c.error != "" && (err == nil || !strings.Contains(err.Error(), c.error)) {
				t.Errorf("error %v, want %q", err, c.error)
			}
			if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if most > 1<<20 {
				t.Errorf("held %d bytes", most)
			}
		})
	}
}

// 100 MB of body or of headers pass through a buffer that stays small, and the
// next frame is read.
func TestAttack26FloodOfABroker(t *testing.T) {
	const size = 100 << 20
	for name, parts := range map[string][3]string{
		"body":        {"MESSAGE\nack:1\n\n", "x", "\x00"},
		"sized body":  {"MESSAGE\nack:1\ncontent-length:104857600\n\n", "x", "\x00"},
		"headers":     {"MESSAGE\nack:1\n", "a:b\n", "\n\x00"},
		"header line": {"MESSAGE\nack:1\na:", "x", "\n\n\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			in := io.MultiReader(strings.NewReader(parts[0]), io.LimitReader(&endless{s: parts[1]}, size), strings.NewReader(parts[2]+"MESSAGE\nok:1\n\n\x00"))
			got, most, err := amq.Sanitize(in)
			if err != io.EOF || len(got) != 2 || got[1] != "MESSAGE\nok:1\n\n\x00" || !strings.Contains(got[0], "ack:1\n") {
				t.Fatalf("%d frames, %v", len(got), err)
			}
			if most > 1<<20 {
				t.Errorf("held %d bytes", most)
			}
		})
	}
}

type endless struct {
	s  string
	at int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.s[e.at]
		e.at = (e.at + 1) % len(e.s)
	}
	return len(p), nil
}

func FuzzSanitize(f *testing.F) {
	for _, s := range []string{"\n", "MESSAGE\na:b\n\nx\x00", "MESSAGE\ncontent-length:2\n\n\x00\x00\x00", "ERROR\nmessage:a\\nb\n\n\x00", "CONNECTED\nheart-beat:1,1\n\n\x00\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		frames, most, _ := amq.Sanitize(strings.NewReader(s))
		if most > 1<<20 {
			t.Errorf("held %d bytes", most)
		}
		for _, fr := range frames { // what came out passes unchanged
			again, _, err := amq.Sanitize(strings.NewReader(fr))
			if err != io.EOF || len(again) != 1 || again[0] != fr {
				t.Errorf("%q became %q, %v", fr, again, err)
			}
		}
	})
}
