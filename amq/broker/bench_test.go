package broker_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/amq/broker"
)

// The floor is an echo over TCP of as many bytes; the goal is at most 3 times
// its time. Compare BenchmarkRoundTrip with BenchmarkEcho of one run.

var payload = strings.Repeat("x", 200)

func BenchmarkEcho(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
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
		b.Fatal(err)
	}
	defer nc.Close()
	out := []byte("SEND\ndestination:/queue/q\n\n" + payload + "\x00")
	in := make([]byte, len(out))
	for b.Loop() {
		if _, err := nc.Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(nc, in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, ack := range []string{"auto", "client-individual"} {
		b.Run(ack, func(b *testing.B) {
			c := connected(b, serve(b, broker.Options{}), "1.2")
			c.send("SUBSCRIBE\nid:1\ndestination:/queue/q\nack:" + ack + "\nactivemq.prefetchSize:1\n\n")
			out := []byte("SEND\ndestination:/queue/q\n\n" + payload + "\x00")
			br := bufio.NewReaderSize(c.nc, 4096)
			for b.Loop() {
				if _, err := c.nc.Write(out); err != nil {
					b.Fatal(err)
				}
				m, err := br.ReadSlice(0)
				if err != nil {
					b.Fatal(err)
				}
				if ack != "auto" {
					if _, err := fmt.Fprintf(c.nc, "ACK\nid:%s\n\n\x00", head(string(m), "ack")); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkFanOut counts messages delivered, with one publisher.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			addr := serve(b, broker.Options{})
			got := make(chan int, n)
			for range n {
				c := connected(b, addr, "1.2")
				c.send("SUBSCRIBE\nid:1\ndestination:/topic/t\nreceipt:r\n\n")
				c.want("RECEIPT")
				go func() {
					count := 0
					br := bufio.NewReaderSize(c.nc, 64<<10)
					for {
						if m, err := br.ReadSlice(0); err != nil || strings.HasSuffix(string(m), "end\x00") {
							got <- count
							return
						}
						count++
					}
				}()
			}
			c := connected(b, addr, "1.2")
			w := bufio.NewWriterSize(c.nc, 16<<10)
			for b.Loop() {
				_, _ = w.WriteString("SEND\ndestination:/topic/t\n\n" + payload + "\x00")
			}
			_, _ = w.WriteString("SEND\ndestination:/topic/t\n\nend\x00")
			_ = w.Flush()
			total := 0
			for range n {
				total += <-got
			}
			if total != n*b.N {
				b.Errorf("%d delivered of %d", total, n*b.N)
			}
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}
