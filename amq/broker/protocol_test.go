package broker_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/amq/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 90 * time.Second

// serve runs a broker until the end of the test.
func serve(t testing.TB, o broker.Options) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- broker.New(o).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// client is a socket, and the last frame that was no RECEIPT.
type client struct {
	t    testing.TB
	nc   net.Conn
	br   *bufio.Reader
	last string
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &client{t: t, nc: nc, br: bufio.NewReader(nc)}
}

// connected is a client of that version.
func connected(t testing.TB, addr, version string) *client {
	t.Helper()
	c := dial(t, addr)
	if version == "1.0" {
		c.send("CONNECT\n\n")
	} else {
		c.send("STOMP\naccept-version:" + version + "\nhost:x\n\n")
	}
	c.want("CONNECTED\nversion:" + version + "\n")
	return c
}

// send writes a frame: the text, in which {ack}, {id} are those of the last
// message, and NUL.
func (c *client) send(text string) {
	c.t.Helper()
	text = strings.NewReplacer("{ack}", head(c.last, "ack"), "{id}", head(c.last, "message-id")).Replace(text)
	_ = c.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.nc.Write([]byte(text + "\x00")); err != nil {
		c.t.Fatal(err)
	}
}

func head(frame, name string) string {
	h, _, _ := strings.Cut(frame, "\n\n")
	for line := range strings.SplitSeq(h, "\n") {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return v
		}
	}
	return ""
}

func (c *client) read() (string, error) {
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	s, err := c.br.ReadString(0)
	return strings.TrimLeft(strings.TrimSuffix(s, "\x00"), "\n"), err
}

// want reads a frame, which must begin as the first and hold all other texts.
func (c *client) want(texts ...string) {
	c.t.Helper()
	s, err := c.read()
	if err != nil || !strings.HasPrefix(s, texts[0]) {
		c.t.Fatalf("got %.400q, %v; want %q", s, err, texts[0])
	}
	if !strings.HasPrefix(s, "RECEIPT") {
		c.last = s
	}
	for _, w := range texts[1:] {
		if n, not := strings.CutPrefix(w, "!"); not == strings.Contains(s, n) {
			c.t.Errorf("%q in %.400q", w, s)
		}
	}
}

// gone reads on to the end.
func (c *client) gone() {
	c.t.Helper()
	if s, err := c.read(); err == nil {
		c.t.Errorf("still there, and says %q", s)
	}
}

// script runs lines of: "> frame" sends, "< begin | text | !text" wants, "gone".
// \n, \0 and \\ in a line are what they are in Go.
func script(t *testing.T, c *client, lines string) {
	t.Helper()
	for line := range strings.SplitSeq(strings.TrimSpace(lines), "\n") {
		line = strings.TrimSpace(line)
		text := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\0`, "\x00", `\r`, "\r").Replace(strings.TrimPrefix(strings.TrimPrefix(line, "> "), "< "))
		switch {
		case line == "gone":
			c.gone()
		case strings.HasPrefix(line, "> "):
			c.send(text)
		case strings.HasPrefix(line, "< "):
			c.want(strings.Split(text, " | ")...)
		default:
			t.Fatalf("bad line %q", line)
		}
	}
}

func TestProtocol(t *testing.T) {
	for _, c := range protocol {
		for version := range strings.SplitSeq(c.versions, " ") {
			t.Run(c.name+" "+version, func(t *testing.T) {
				script(t, connected(t, serve(t, broker.Options{}), version), c.lines)
			})
		}
	}
}

// protocol is what one client sees, by version.
var protocol = []struct{ name, versions, lines string }{
	{"receipt for every frame", "1.0 1.1 1.2", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\nreceipt:r1\n\n
		< RECEIPT\nreceipt-id:r1\n
		> SEND\ndestination:/topic/a\nreceipt:r2\n\n
		< RECEIPT\nreceipt-id:r2\n
		> BEGIN\ntransaction:t\nreceipt:r3\n\n
		< RECEIPT\nreceipt-id:r3\n
		> COMMIT\ntransaction:t\nreceipt:r4\n\n
		< RECEIPT\nreceipt-id:r4\n
		> UNSUBSCRIBE\nid:1\nreceipt:r5\n\n
		< RECEIPT\nreceipt-id:r5\n
		> DISCONNECT\nreceipt:r6\n\n
		< RECEIPT\nreceipt-id:r6\n
		gone`},
	{"message headers", "1.2", `
		> SUBSCRIBE\nid:s\ndestination:/queue/a\nack:client\n\n
		> SEND\ndestination:/queue/a\nx:1\nx:2\nreceipt:r\nmessage-id:forged\nredelivered:true\nsubscription:forged\n\nhello
		< MESSAGE\nsubscription:s\n | \nmessage-id: | \nack: | \ndestination:/queue/a\n | \nx:1\n | \n\nhello | !x:2 | !receipt | !forged | !redelivered | !content-length
		< RECEIPT`},
	{"message headers", "1.0 1.1", `
		> SUBSCRIBE\nid:s\ndestination:/queue/a\nack:client\n\n
		> SEND\ndestination:/queue/a\ncontent-length:3\n\na\0b
		< MESSAGE\nsubscription:s\n | \nmessage-id: | !\nack: | \ncontent-length:3\n | \n\na`},
	{"1.0 subscribes without id", "1.0", `
		> SUBSCRIBE\ndestination:/queue/a\n\n
		> SEND\ndestination:/queue/a\n\nx
		< MESSAGE\n | !subscription
		> UNSUBSCRIBE\ndestination:/queue/a\nreceipt:r\n\n
		< RECEIPT`},
	{"id is needed", "1.1 1.2", `
		> SUBSCRIBE\ndestination:/queue/a\n\n
		< ERROR\nmessage:SUBSCRIBE needs an id
		gone`},
	{"one id once", "1.0 1.1 1.2", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\n\n
		> SUBSCRIBE\nid:1\ndestination:/queue/b\nreceipt:r\n\n
		< ERROR\n | receipt-id:r
		gone`},
	{"escapes", "1.2", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\n\n
		> SEND\ndestination:/queue/a\nk\\c\\\\:a\\nb\\rc\\cd\\\\e\n\n
		< MESSAGE\n | k\\c\\\\:a\\nb\\rc\\cd\\\\e\n`},
	{"escapes", "1.1", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\n\n
		> SEND\ndestination:/queue/a\nk\\c:a\\nb\\cd\\\\e\n\n
		< MESSAGE\n | k\\c:a\\nb\\cd\\\\e\n`},
	{"no escapes", "1.0", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\n\n
		> SEND\ndestination:/queue/a\nk:a\\nb:c\\t\\\n\n
		< MESSAGE\n | k:a\\nb:c\\t\\\n`},
	{"unknown escape", "1.1 1.2", `
		> SEND\ndestination:/queue/a\nk:\\t\n\n
		< ERROR\nmessage:malformed frame
		gone`},
	{"\\r is unknown", "1.1", `
		> SEND\ndestination:/queue/a\nk:\\r\n\n
		< ERROR
		gone`},
	{"CR LF", "1.2", `
		> \r\nSEND\r\ndestination:/queue/a\r\nreceipt:r\r\n\r\n
		< RECEIPT\nreceipt-id:r\n`},
	{"ack", "1.2", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nactivemq.prefetchSize:1\n\n
		> SEND\ndestination:/queue/a\n\n1
		> SEND\ndestination:/queue/a\n\n2
		< MESSAGE\n | \n\n1
		> ACK\nid:{ack}\nreceipt:r\n\n
		< MESSAGE\n | \n\n2
		< RECEIPT
		> ACK\nid:{ack}\n\n
		> UNSUBSCRIBE\nid:1\nreceipt:r\n\n
		< RECEIPT`},
	{"ack", "1.1", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nactivemq.prefetchSize:1\n\n
		> SEND\ndestination:/queue/a\n\n1
		> SEND\ndestination:/queue/a\n\n2
		< MESSAGE\n | \n\n1
		> ACK\nsubscription:1\nmessage-id:{id}\n\n
		< MESSAGE\n | \n\n2`},
	{"ack", "1.0", `
		> SUBSCRIBE\ndestination:/topic/t\n\n
		> SUBSCRIBE\ndestination:/queue/a\nack:client\nactivemq.prefetchSize:1\n\n
		> SEND\ndestination:/queue/a\n\n1
		> SEND\ndestination:/queue/a\n\n2
		< MESSAGE\n | \n\n1
		> ACK\nmessage-id:{id}\n\n
		< MESSAGE\n | \n\n2`},
	{"cumulative ack", "1.2", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\nactivemq.prefetchSize:2\n\n
		> SEND\ndestination:/queue/a\n\n1
		> SEND\ndestination:/queue/a\n\n2
		> SEND\ndestination:/queue/a\n\n3
		< MESSAGE\n | \n\n1
		< MESSAGE\n | \n\n2
		> ACK\nid:{ack}\n\n
		< MESSAGE\n | \n\n3
		> UNSUBSCRIBE\nid:1\n\n
		> SUBSCRIBE\nid:2\ndestination:/queue/a\n\n
		< MESSAGE\n | redelivered:true | \n\n3`},
	{"nack drops", "1.1 1.2", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nactivemq.prefetchSize:1\n\n
		> SEND\ndestination:/queue/a\n\n1
		> SEND\ndestination:/queue/a\n\n2
		< MESSAGE\n | \n\n1
		> NACK\nid:{ack}\nsubscription:1\nmessage-id:{id}\n\n
		< MESSAGE\n | \n\n2
		> UNSUBSCRIBE\nid:1\n\n
		> SUBSCRIBE\nid:2\ndestination:/queue/a\n\n
		< MESSAGE\n | \n\n2`},
	{"second ack", "1.2", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\n\n
		> SEND\ndestination:/queue/a\n\n1
		< MESSAGE
		> ACK\nid:{ack}\n\n
		> ACK\nid:{ack}\nreceipt:r\n\n
		< ERROR\nmessage:unexpected ACK | receipt-id:r
		gone`},
	{"ack of nonsense", "1.0 1.1 1.2", `
		> ACK\nid:x\nmessage-id:x\nsubscription:x\n\n
		< ERROR\nmessage:unexpected ACK
		gone`},
	{"transaction", "1.1 1.2", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\n\n
		> BEGIN\ntransaction:t\n\n
		> SEND\ndestination:/queue/a\ntransaction:t\n\nheld
		> BEGIN\ntransaction:u\n\n
		> SEND\ndestination:/queue/a\ntransaction:u\n\nnever
		> SEND\ndestination:/queue/a\n\nfirst
		< MESSAGE\n | \n\nfirst
		> ABORT\ntransaction:u\n\n
		> COMMIT\ntransaction:t\n\n
		< MESSAGE\n | \n\nheld | !transaction`},
	{"no such transaction", "1.2", `
		> SEND\ndestination:/queue/a\ntransaction:t\n\nx
		< ERROR\nmessage:no transaction t
		gone`},
	{"selector", "1.2", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\nselector:x = 1\n\n
		< ERROR\nmessage:selectors are not supported
		gone`},
	{"prefetch 0", "1.2", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\nactivemq.prefetchSize:0\n\n
		< ERROR
		gone`},
	{"ack mode", "1.2", `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\nack:perhaps\n\n
		< ERROR
		gone`},
	{"second CONNECT", "1.2", `
		> CONNECT\n\n
		< ERROR\nmessage:unexpected CONNECT
		gone`},
	{"server's frame", "1.2", `
		> MESSAGE\n\n
		< ERROR\nmessage:malformed
		gone`},
	{"stale", "1.2", `
		> SEND\ndestination:/queue/a\nexpires:1\n\nstale
		> SEND\ndestination:/queue/a\nexpires:0\n\nfresh
		> SUBSCRIBE\nid:1\ndestination:/queue/a\n\n
		< MESSAGE\n | expires:0\n | \n\nfresh`},
}

func TestAttack19Destinations(t *testing.T) {
	addr := serve(t, broker.Options{})
	for _, d := range []string{"", "a", "/queue/", "/temp-queue/a", "/queue/*", "/topic/>", "/queue/a,/queue/b", "/queue/a?x=y", "/queue/a b",
		`/queue/a\cb`, `/queue/a\nb`, "/queue/" + strings.Repeat("a", 256)} {
		for _, f := range []string{"SEND\ndestination:%s\n\n", "SUBSCRIBE\nid:1\ndestination:%s\n\n"} {
			c := connected(t, addr, "1.2")
			c.send(fmt.Sprintf(f, d))
			c.want("ERROR\nmessage:destination")
			c.gone()
		}
	}
}

// A header that a version cannot carry must not become two.
func TestAttack18NoInjectionAcrossVersions(t *testing.T) {
	addr := serve(t, broker.Options{})
	sender := connected(t, addr, "1.2")
	for version, want := range map[string][]string{
		"1.0": {"MESSAGE", "ok:1\n", `raw:a\b`, "!injected", "!sneaky", "!\ncr:"},
		"1.1": {"MESSAGE", "ok:1\n", `raw:a\\b`, `x:a\ninjected\c1`, `sneaky\nname`, "!\ncr:"},
		"1.2": {"MESSAGE", "ok:1\n", `raw:a\\b`, `x:a\ninjected\c1`, `sneaky\nname`, `cr:a\rb`},
	} {
		c := connected(t, addr, version)
		c.send("SUBSCRIBE\nid:1\ndestination:/queue/" + version + "\nreceipt:r\n\n")
		c.want("RECEIPT")
		sender.send("SEND\ndestination:/queue/" + version + "\nok:1\nraw:a\\\\b\nx:a\\ninjected\\c1\nsneaky\\nname:1\ncr:a\\rb\n\n")
		c.want(want...)
	}
}

func TestConnect(t *testing.T) {
	addr := serve(t, broker.Options{Login: "u:v", Passcode: `p\n`})
	for name, c := range map[string]struct{ send, want string }{
		"1.0":              {"CONNECT\nlogin:u:v\npasscode:p\\n\n\n", "CONNECTED\nversion:1.0\n"},
		"best":             {"CONNECT\naccept-version:1.0,1.2,9.9,1.1\nlogin:u:v\npasscode:p\\n\n\n", "CONNECTED\nversion:1.2\n"},
		"none in common":   {"CONNECT\naccept-version:2.0\nlogin:u:v\npasscode:p\\n\n\n", "ERROR\nmessage:no common version\nversion:1.0,1.1,1.2\n"},
		"wrong passcode":   {"CONNECT\nlogin:u:v\npasscode:x\n\n", "ERROR\nmessage:login or passcode is wrong\n"},
		"no login":         {"CONNECT\n\n", "ERROR\nmessage:login or passcode is wrong\n"},
		"not CONNECT":      {"SEND\ndestination:/queue/a\n\n", "ERROR\nmessage:the first frame must be CONNECT\n"},
		"bad heart-beat":   {"CONNECT\naccept-version:1.2\nheart-beat:x\nlogin:u:v\npasscode:p\\n\n\n", "ERROR\nmessage:heart-beat"},
		"good heart-beats": {"CONNECT\naccept-version:1.2\nheart-beat:5000,10000\nlogin:u:v\npasscode:p\\n\n\n", "CONNECTED\n"},
		"garbage":          {"\x16\x03\x01\x02\x00\x01\n", "ERROR\nmessage:malformed frame"},
	} {
		t.Run(name, func(t *testing.T) {
			cl := dial(t, addr)
			cl.send(c.send)
			cl.want(c.want)
			if name == "good heart-beats" && head(cl.last, "heart-beat") != "10000,5000" {
				t.Errorf("heart-beat %q", head(cl.last, "heart-beat"))
			}
			if strings.HasPrefix(c.want, "ERROR") {
				cl.gone()
			}
		})
	}
}

// The broker beats as promised.
func TestHeartBeat(t *testing.T) {
	c := dial(t, serve(t, broker.Options{}))
	c.send("CONNECT\naccept-version:1.1\nheart-beat:0,100\n\n")
	c.want("CONNECTED\n")
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	for range 5 {
		if b, err := c.br.ReadByte(); err != nil || b != '\n' {
			t.Fatalf("%q, %v", b, err)
		}
	}
}
