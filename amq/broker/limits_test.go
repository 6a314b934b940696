package broker_test

import (
	"bufio"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq/broker"
)

func TestAttack24FrameLimits(t *testing.T) {
	addr := serve(t, broker.Options{})
	big := strings.Repeat("x", 256<<10)
	for name, c := range map[string]struct{ send, want string }{
		"body at the limit":    {"SEND\ndestination:/topic/a\nreceipt:r\n\n" + big, "RECEIPT"},
		"sized at the limit":   {fmt.Sprintf("SEND\ndestination:/topic/a\nreceipt:r\ncontent-length:%d\n\n%s", len(big), big), "RECEIPT"},
		"body over it":         {"SEND\ndestination:/topic/a\n\n" + big + "x", "ERROR\nmessage:the frame exceeds"},
		"sized over it":        {"SEND\ndestination:/topic/a\ncontent-length:262145\n\n", "ERROR\nmessage:the frame exceeds"},
		"4 GiB announced":      {"SEND\ndestination:/topic/a\ncontent-length:4294967295\n\n", "ERROR\nmessage:the frame exceeds"},
		"2^64 announced":       {"SEND\ndestination:/topic/a\ncontent-length:18446744073709551616\n\n", "ERROR\nmessage:malformed"},
		"negative":             {"SEND\ndestination:/topic/a\ncontent-length:-1\n\n", "ERROR\nmessage:malformed"},
		"too short":            {"SEND\ndestination:/topic/a\ncontent-length:1\n\nxy", "ERROR\nmessage:malformed"},
		"64 headers":           {"SEND\ndestination:/topic/a\nreceipt:r\n" + strings.Repeat("a:b\n", 62) + "\n", "RECEIPT"},
		"65 headers":           {"SEND\ndestination:/topic/a\nreceipt:r\n" + strings.Repeat("a:b\n", 63) + "\n", "ERROR\nmessage:the frame exceeds"},
		"200,000 headers":      {"SEND\n" + strings.Repeat("a:b\n", 200_000), "ERROR\nmessage:the frame exceeds"},
		"long line":            {"SEND\ndestination:/topic/a\na:" + strings.Repeat("b", 5000) + "\n\n", "ERROR\nmessage:the frame exceeds"},
		"17 KiB of headers":    {"SEND\n" + strings.Repeat("a:"+strings.Repeat("b", 3000)+"\n", 6) + "\n", "ERROR\nmessage:the frame exceeds"},
		"no colon":             {"SEND\nx\n\n", "ERROR\nmessage:malformed"},
		"no name":              {"SEND\n:x\n\n", "ERROR\nmessage:malformed"},
		"unknown command":      {"GET / HTTP/1.1\n\n", "ERROR\nmessage:malformed"},
		"NUL in a header line": {"SEND\na:b\x00c\n\n", "ERROR\nmessage:malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			cl := connected(t, addr, "1.2")
			_ = cl.nc.SetWriteDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(cl.nc, c.send+"\x00") // it may hang up in the midst of this
			cl.want(c.want)
		})
	}
}

// A queue that is full costs its sender the connection, and nobody else.
func TestFullQueue(t *testing.T) {
	addr := serve(t, broker.Options{MaxQueueBytes: 4000, MaxMemory: 10000})
	other := connected(t, addr, "1.2")
	full := func(queue string) {
		t.Helper()
		c := connected(t, addr, "1.2")
		for range 20 {
			_, _ = io.WriteString(c.nc, "SEND\ndestination:"+queue+"\n\n"+strings.Repeat("x", 500)+"\x00")
		}
		c.want("ERROR\nmessage:queue " + queue + " is full")
		c.gone()
	}
	full("/queue/a")
	full("/queue/b")
	full("/queue/c") // the memory of the broker, by now
	script(t, other, `
		> SUBSCRIBE\nid:1\ndestination:/queue/a\nreceipt:r\n\n
		< MESSAGE`)
}

// Transactions, subscriptions and connections are counted.
func TestCounts(t *testing.T) {
	addr := serve(t, broker.Options{})
	c := connected(t, addr, "1.2")
	for i := range 16 {
		c.send(fmt.Sprintf("BEGIN\ntransaction:%d\n\n", i))
	}
	c.send("BEGIN\ntransaction:x\n\n")
	c.want("ERROR\nmessage:BEGIN")
	c.gone()
	c = connected(t, addr, "1.2")
	c.send("BEGIN\ntransaction:t\n\n")
	for range 5 {
		_, _ = io.WriteString(c.nc, "SEND\ndestination:/queue/a\ntransaction:t\n\n"+strings.Repeat("x", 250<<10)+"\x00")
	}
	c.want("ERROR\nmessage:transaction t is too large")
	c.gone()
	c = connected(t, addr, "1.2")
	for i := range 1025 {
		_, _ = fmt.Fprintf(c.nc, "SUBSCRIBE\nid:%d\ndestination:/topic/a\n\n\x00", i)
	}
	c.want("ERROR\nmessage:too many subscriptions")
	c.gone()
	addr = serve(t, broker.Options{MaxClients: 2})
	connected(t, addr, "1.2")
	connected(t, addr, "1.2")
	dial(t, addr).gone()
}

// Whoever does not say CONNECT in time is thrown out, also when he trickles.
func TestConnectDeadline(t *testing.T) {
	addr := serve(t, broker.Options{ConnectTimeout: 200 * time.Millisecond})
	late := dial(t, addr)
	late.want("ERROR\nmessage:CONNECT did not come in time")
	late.gone()
	c := dial(t, addr)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, c.nc)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	enough := time.After(patience)
	for {
		select {
		case <-tick.C:
			_, _ = io.WriteString(c.nc, "\n")
		case <-gone:
			return
		case <-enough:
			t.Fatal("still there")
		}
	}
}

// A subscriber that stops reading is cut off; publishers and other subscribers
// notice nothing, and memory stays bounded.
func TestStuckSubscriber(t *testing.T) {
	var peak atomic.Uint64
	addr := serve(t, broker.Options{MaxOutbox: 2 << 20})
	stuck, good, sender := connected(t, addr, "1.2"), connected(t, addr, "1.2"), connected(t, addr, "1.2")
	for _, c := range []*client{stuck, good} {
		c.send("SUBSCRIBE\nid:1\ndestination:/topic/t\nreceipt:r\n\n")
		c.want("RECEIPT")
	}
	body := strings.Repeat("x", 64<<10)
	for i := range 400 { // 25 MiB
		sender.send(fmt.Sprintf("SEND\ndestination:/topic/t\n\n%d %s", i, body))
		good.want("MESSAGE", fmt.Sprintf("\n\n%d ", i))
		if i%100 == 99 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapInuse))
		}
	}
	if peak.Load() > 64<<20 {
		t.Errorf("%d MiB in use", peak.Load()>>20)
	}
	for { // what was on its way, then the end
		if _, err := stuck.read(); err != nil {
			break
		}
	}
}

// A queue consumer that does not read is waited for, loses nothing and stalls
// nobody: what it was not sent goes to others.
func TestSlowQueueConsumer(t *testing.T) {
	addr := serve(t, broker.Options{})
	slow, sender := connected(t, addr, "1.2"), connected(t, addr, "1.2")
	slow.send("SUBSCRIBE\nid:1\ndestination:/queue/q\nreceipt:r\n\n")
	slow.want("RECEIPT")
	body := strings.Repeat("x", 64<<10)
	const n = 300 // 19 MiB, below the limit of a queue
	for i := range n {
		sender.send(fmt.Sprintf("SEND\ndestination:/queue/q\n\n%d %s", i, body))
	}
	sender.send("SEND\ndestination:/topic/x\nreceipt:r\n\n")
	sender.want("RECEIPT")
	for i := range n {
		slow.want("MESSAGE", fmt.Sprintf("\n\n%d ", i))
	}
}

// Unacknowledged messages go back in their order, marked, and round robin goes
// on among those who are left.
func TestRedelivery(t *testing.T) {
	addr := serve(t, broker.Options{})
	first, second := connected(t, addr, "1.1"), connected(t, addr, "1.2")
	script(t, first, `
		> SUBSCRIBE\nid:1\ndestination:/queue/q\nack:client-individual\nactivemq.prefetchSize:3\n\n
		> SEND\ndestination:/queue/q\n\n1
		> SEND\ndestination:/queue/q\n\n2
		> SEND\ndestination:/queue/q\n\n3
		> SEND\ndestination:/queue/q\n\n4
		< MESSAGE\n | \n\n1
		< MESSAGE\n | \n\n2
		> ACK\nsubscription:1\nmessage-id:{id}\n\n
		< MESSAGE\n | \n\n3
		< MESSAGE\n | \n\n4`)
	first.nc.Close()
	script(t, second, `
		> SUBSCRIBE\nid:1\ndestination:/queue/q\nack:client\n\n
		< MESSAGE\n | \n\n1 | redelivered:true
		< MESSAGE\n | \n\n3 | redelivered:true
		< MESSAGE\n | \n\n4 | redelivered:true`)
}

// A publisher that is faster than a subscriber who does read is slowed down;
// the subscriber is not cut off and misses nothing.
func TestFastPublisher(t *testing.T) {
	addr := serve(t, broker.Options{MaxOutbox: 1 << 20})
	sub, pub := connected(t, addr, "1.2"), connected(t, addr, "1.2")
	sub.send("SUBSCRIBE\nid:1\ndestination:/topic/t\nreceipt:r\n\n")
	sub.want("RECEIPT")
	const n = 20_000
	go func() {
		w := bufio.NewWriterSize(pub.nc, 64<<10)
		body := strings.Repeat("x", 1000)
		for i := range n {
			_, _ = fmt.Fprintf(w, "SEND\ndestination:/topic/t\n\n%d %s\x00", i, body)
		}
		_ = w.Flush()
	}()
	for i := range n {
		sub.want("MESSAGE", fmt.Sprintf("\n\n%d ", i))
	}
}
