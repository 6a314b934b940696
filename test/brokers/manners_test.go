package brokers_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/test/brokers"
)

// TestManners holds what docs/brokers.md says of NACK and of expiry, which amq
// never relies on, so that its own suite does not see them.
func TestManners(t *testing.T) {
	for _, b := range []struct {
		name    string
		start   func(testing.TB, ...string) *brokers.Server
		kept    bool   // what is refused goes to the dead letters
		expired string // the queue of what has expired
	}{
		{"classic", brokers.Classic, true, "/queue/testbed.dead"},
		{"artemis", brokers.Artemis, false, "/queue/testbed.expired"},
	} {
		t.Run(b.name, func(t *testing.T) {
			s := b.start(t)
			c := dial(t, s)
			c.send("SEND", "destination:/queue/nacked", "destination-type:ANYCAST", "persistent:true")
			c.send("SUBSCRIBE", "id:1", "destination:/queue/nacked", "subscription-type:ANYCAST", "ack:client-individual")
			c.send("NACK", "id:"+header(c.read("MESSAGE"), "ack"))
			c.send("SEND", "destination:/queue/nacked", "destination-type:ANYCAST", "body-is:next")
			if m := c.read("MESSAGE"); header(m, "body-is") != "next" {
				t.Errorf("what was refused came again: %q", m)
			}
			c.send("SUBSCRIBE", "id:2", "destination:/queue/testbed.dead", "subscription-type:ANYCAST", "ack:auto")
			if b.kept { // else the next message is another
				c.read("MESSAGE")
				c.send("UNSUBSCRIBE", "id:2")
			}

			soon := time.Now().Add(200 * time.Millisecond)
			c.send("SEND", "destination:/queue/late", "destination-type:ANYCAST", "persistent:true", fmt.Sprint("expires:", soon.UnixMilli()))
			<-time.After(time.Until(soon.Add(100 * time.Millisecond))) // the broker's own clock
			c.send("SUBSCRIBE", "id:3", "destination:/queue/late", "subscription-type:ANYCAST", "ack:auto")
			c.send("SUBSCRIBE", "id:4", "destination:"+b.expired, "subscription-type:ANYCAST", "ack:auto")
			if m := c.read("MESSAGE"); header(m, "subscription") != "4" {
				t.Errorf("what had expired was delivered, or what was refused is in the dead letters: %q", m)
			}
		})
	}
}

// conn is a socket that may do all.
type conn struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, s *brokers.Server) *conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := &conn{t, nc, bufio.NewReader(nc)}
	c.send("CONNECT", "accept-version:1.2", "host:localhost", "login:"+brokers.Admin, "passcode:"+brokers.Passcode(brokers.Admin))
	c.read("CONNECTED")
	return c
}

func (c *conn) send(command string, headers ...string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, "%s\n%s\n\n\x00", command, strings.Join(headers, "\n")); err != nil {
		c.t.Fatal(err)
	}
}

func (c *conn) read(command string) string {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	f, err := c.r.ReadString(0)
	if f = strings.TrimLeft(f, "\n"); err != nil || !strings.HasPrefix(f, command+"\n") {
		c.t.Fatalf("want %s, got %.300q, %v", command, f, err)
	}
	return f
}

// header is the value of one in a frame.
func header(frame, name string) string {
	_, rest, _ := strings.Cut(frame, "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}
