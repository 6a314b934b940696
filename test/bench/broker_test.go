package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/test/brokers"
)

var payload = strings.Repeat("x", 200)

// brokerTrip is row 9's round trip.
func brokerTrip() *group {
	g := &group{name: "broker", rows: []*row{
		{of: "embedded broker: round trip p50, SEND to MESSAGE", floor: "TCP echo of the same bytes, loopback", unit: seconds, goal: ratioAtMost(3)},
		{of: "the same with `client-individual` and an ACK each", floor: "the same", unit: seconds, goal: ratioAtMost(3)},
	}}
	g.measure = func(t *testing.T, g *group) {
		addr := embedded(t)
		echo, auto, acked := tcpEcho(t), brokerEcho(t, addr, "auto", nil), brokerEcho(t, addr, "client-individual", nil)
		p50 := func(call func()) float64 {
			took := make([]float64, size(2000))
			for i := range took {
				took[i] = timed(call)
			}
			return median(took)
		}
		g.inTurn(t, 7, func() []float64 { v := p50(echo); return []float64{v, v} }, func() []float64 { return []float64{p50(auto), p50(acked)} })
	}
	return g
}

// sent is the frame of a round trip.
var sent = "SEND\ndestination:/queue/q\n\n" + payload + "\x00"

func tcpEcho(t testing.TB) func() {
	t.Helper()
	l := listen(t)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		_, _ = io.Copy(struct{ io.Writer }{nc}, nc) // not splice
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close(); l.Close() })
	out, in := []byte(sent), make([]byte, len(sent))
	return func() {
		if _, err := nc.Write(out); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(nc, in); err != nil {
			t.Error(err)
		}
	}
}

// brokerEcho sends to a queue and reads the message; plant, which may be nil,
// runs in each.
func brokerEcho(t testing.TB, addr, ack string, plant func()) func() {
	t.Helper()
	queue := "/queue/" + ack
	c := dial(t, addr, "")
	c.send("SUBSCRIBE\nid:1\ndestination:" + queue + "\nack:" + ack + "\nactivemq.prefetchSize:1\nreceipt:r\n\n")
	c.read()
	out := []byte(strings.Replace(sent, "/queue/q", queue, 1))
	return func() {
		if plant != nil {
			plant()
		}
		c.write(out)
		m := c.read()
		if ack != "auto" {
			_, id, _ := strings.Cut(m, "\nack:")
			id, _, _ = strings.Cut(id, "\n")
			c.send("ACK\nid:" + id + "\n\n")
		}
	}
}

// stomp is a socket with frames on it, the least that a client can be.
type stomp struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

// dial connects; login is "" for the embedded broker.
func dial(t testing.TB, addr, login string) *stomp {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := &stomp{t, nc, bufio.NewReaderSize(nc, 64<<10)}
	head := "CONNECT\naccept-version:1.2\nhost:localhost\nheart-beat:0,0\n"
	if login != "" {
		head += "login:" + login + "\npasscode:" + brokers.Passcode(login) + "\n"
	}
	c.send(head + "\n")
	if m := c.read(); !strings.HasPrefix(m, "CONNECTED") {
		t.Fatalf("%q", m)
	}
	return c
}

func (c *stomp) send(frame string) { c.write([]byte(frame + "\x00")) }

func (c *stomp) write(frame []byte) {
	if _, err := c.nc.Write(frame); err != nil {
		c.t.Error(err)
	}
}

func (c *stomp) read() string {
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	m, err := c.r.ReadString(0)
	if err != nil {
		c.t.Error(err)
	}
	return strings.TrimLeft(m, "\n")
}

// brokerFlow is row 9's messages a second, against the real brokers.
func brokerFlow() *group {
	g := &group{name: "flow"}
	for _, n := range []int{1, 8, 64} {
		g.rows = append(g.rows, &row{of: fmt.Sprintf("embedded broker: messages/s delivered, 1 publisher, %d subscribers of a topic", n), unit: perSecond, goal: ratioAtLeast(1),
			floor: "the faster of ActiveMQ Classic and Artemis, same clients"})
	}
	g.rows = append(g.rows, &row{of: "the same, 8 subscribers, with a ninth that never reads", floor: "without the ninth", unit: perSecond, goal: ratioAtLeast(0.5)})
	g.measure = func(t *testing.T, g *group) {
		mine := embedded(t)
		classic, artemis := brokers.Classic(t).Addr(), brokers.Artemis(t).Addr()
		work := map[int]int{1: size(20_000), 8: size(8_000), 64: size(1_500)}
		for _, addr := range []string{classic, artemis} { // the JVM compiles what is hot
			for range rounds(3) {
				fanOut(t, addr, brokers.Admin, 8, size(4000), nil)
			}
		}
		for range rounds(5) {
			for k, n := range []int{1, 8, 64} {
				c, a := fanOut(t, classic, brokers.Admin, n, work[n], nil), fanOut(t, artemis, brokers.Admin, n, work[n], nil)
				g.rows[k].add(max(c, a), fanOut(t, mine, "", n, work[n], nil))
				g.rows[k].rival("Classic", c)
				g.rows[k].rival("Artemis", a)
			}
			g.rows[3].add(fanOut(t, mine, "", 8, work[8], nil), fanOut(t, mine, "", 8, work[8], deaf(t, mine)))
		}
	}
	return g
}

// deaf subscribes to the topic and does not read.
func deaf(t testing.TB, addr string) func() {
	c := dial(t, addr, "")
	c.send("SUBSCRIBE\nid:1\ndestination:/topic/flow\nreceipt:r\n\n")
	c.read()
	return func() { c.nc.Close() }
}

// fanOut is how many messages a second reach n subscribers of a topic. after
// is called at the end.
func fanOut(t testing.TB, addr, login string, n, messages int, after func()) float64 {
	t.Helper()
	var all sync.WaitGroup
	counts := make([]int, n)
	for i := range n {
		c := dial(t, addr, login)
		c.send("SUBSCRIBE\nid:1\ndestination:/topic/flow\nack:auto\nreceipt:r\n\n")
		c.read()
		all.Go(func() {
			defer c.nc.Close()
			_ = c.nc.SetReadDeadline(time.Now().Add(patience))
			for {
				m, err := c.r.ReadSlice(0)
				if err != nil {
					t.Error("a subscriber was cut off: ", err)
					return
				}
				if strings.HasSuffix(string(m), "end\x00") {
					return
				}
				counts[i]++
			}
		})
	}
	p := dial(t, addr, login)
	defer p.nc.Close()
	took := timed(func() {
		w := bufio.NewWriterSize(p.nc, 16<<10)
		for range messages {
			_, _ = w.WriteString("SEND\ndestination:/topic/flow\n\n" + payload + "\x00")
		}
		_, _ = w.WriteString("SEND\ndestination:/topic/flow\n\nend\x00")
		_ = w.Flush()
		all.Wait()
	})
	if after != nil {
		after()
	}
	total := 0
	for _, c := range counts {
		total += c
	}
	if total != n*messages {
		t.Errorf("%s: %d delivered of %d", addr, total, n*messages)
	}
	return float64(total) / took
}
