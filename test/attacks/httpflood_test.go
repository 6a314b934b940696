package attacks

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epic-swf/testbed/mcpserver"
)

// dialRaw opens a connection that ends with the test.
func dialRaw(t testing.TB, s *site) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// closed waits until the server has closed the connection, and returns what it
// said before.
func closed(t *testing.T, c net.Conn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	said, err := io.ReadAll(c)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Error("the connection stays open")
	}
	return string(said)
}

func TestAttack12SlowClients(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{http: mcpserver.HTTPOptions{WriteLimit: 500 * time.Millisecond}})
	head := "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer " + s.tokenOf(ann) + "\r\n"
	begins := func(text string) net.Conn {
		c := dialRaw(t, s)
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		return c
	}
	waiting := map[string]net.Conn{"slow headers": begins("POST /mcp HT"), "a slow body": begins(head + "Content-Length: 100\r\n\r\n{"),
		"a slow chunk":        begins(head + "Transfer-Encoding: chunked\r\n\r\n5\r\n{"),
		"a stranger's body":   begins("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"),
		"a body for no route": begins("POST /x HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 100\r\n\r\n{")}
	for range 2000 {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			continue // refused is fine too
		}
		defer c.Close()
	}
	s.goodClient(t)
	for name, c := range waiting {
		if said := closed(t, c); strings.Contains(said, " 200 ") {
			t.Errorf("%s: %s", name, said)
		}
	}
	s.goodClient(t)
}

// TestAttack12SlowReader asks for much and reads nothing.
func TestAttack12SlowReader(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{http: mcpserver.HTTPOptions{WriteLimit: 500 * time.Millisecond}})
	c := dialRaw(t, s)
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	list := strings.Replace(callBody("x"), `"tools/call"`, `"tools/list"`, 1)
	request := fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nMcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\nContent-Length: %d\r\n\r\n%s",
		s.tokenOf(ann), len(list), list)
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	for { // until the server takes no more from who reads nothing
		if _, err := io.WriteString(c, request); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Error("a reader that does not read is never cut off")
			}
			break
		}
	}
	s.goodClient(t)
}

func TestAttack15Caps(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{http: mcpserver.HTTPOptions{PerSecond: 1e6, Burst: 1e6, Calls: mcpserver.CallLimits{PerSecond: 0.001, Burst: 20, AtOnce: 32}}})
	c := newHTTPClient(t)
	many := func(what, user string, n, limit int, r raw) {
		t.Helper()
		r.token = s.tokenOf(user)
		good := 0
		for range n {
			resp := r.open(t, s, c)
			switch {
			case resp.StatusCode == http.StatusOK:
				good++
			case resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "":
				t.Fatalf("%s: %d", what, resp.StatusCode)
			}
			if r.method != http.MethodGet || resp.StatusCode != http.StatusOK { // streams stay
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			} else {
				t.Cleanup(func() { resp.Body.Close() })
			}
		}
		if good > limit || good == 0 {
			t.Errorf("%s: %d of %d were let through, at most %d may be", what, good, n, limit)
		}
		t.Logf("%s: %d of %d let through", what, good, n)
	}
	many("calls", ann, 100, 21, raw{body: callBody("list_agents")})
	many("sessions", ann, 400, 128, raw{body: initialize, legacy: true})
	many("streams", bob, 60, 32, raw{method: http.MethodGet, path: "/sse"})
	for _, r := range []raw{{body: initialize, legacy: true}, {body: callBody("list_agents")}} {
		r.token = s.tokenOf(carol)
		if resp, body := r.send(t, s); resp.StatusCode != http.StatusOK {
			t.Errorf("carol is harmed: %d %s", resp.StatusCode, body)
		}
	}
}

// maxMemory is what the server may hold under all floods at once, with what
// the flood itself needs in the same process.
const maxMemory = 200 << 20

// TestAttack15AllFloodsAtOnce is attacks 12, 13 and 15 together, against a good
// client that must be answered. How fast it is answered is reported, no verdict.
func TestAttack15AllFloodsAtOnce(t *testing.T) {
	s := newSite(t, siteOptions{http: mcpserver.HTTPOptions{PerSecond: 50}})
	ctx, stop := context.WithCancel(t.Context())
	var floods sync.WaitGroup
	var sent atomic.Int64
	address := strings.TrimPrefix(s.url, "http://")
	flood := func(workers int, f func()) {
		for range workers {
			floods.Go(func() {
				for ctx.Err() == nil {
					f()
					sent.Add(1)
				}
			})
		}
	}
	flood(4, func() { // 12: connections that say little or nothing
		c, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+s.tokenOf(bob)+"\r\nContent-Length: 1000000\r\nContent-Type: application/json\r\n\r\n{")
		context.AfterFunc(ctx, func() { c.Close() })
	})
	bodies := []string{strings.Repeat("[", 1<<20), `{"jsonrpc":"2.0","id":1,"method":"x","params":{` + strings.Repeat(`"a":1,`, 150_000) + `"b":1}}`, strings.Repeat(" ", 2<<20)}
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	post := func(token, body string) {
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/mcp", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		if resp, err := client.Do(r); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	flood(4, func() { post(s.tokenOf(bob), bodies[int(sent.Load())%len(bodies)]) }) // 13
	flood(4, func() { post(s.tokenOf(bob), initialize) })                           // 15
	took := goodCalls(t, s, 100)
	heap := heapInUse()
	stop()
	floods.Wait()
	slices.Sort(took)
	t.Logf("under %d hostile requests: p50 %v, p99 %v, heap and stacks %d MiB", sent.Load(), took[len(took)/2], took[len(took)*99/100], heap>>20)
	if heap > maxMemory {
		t.Errorf("%d MiB are in use", heap>>20)
	}
	s.untouched(t)
}

// goodCalls makes calls as ann's client would, one after the other at her rate,
// and returns how long each took. Before its first answer her connection is as
// good as a stranger's: where it has to make room she connects anew.
func goodCalls(t *testing.T, s *site, n int) (took []time.Duration) {
	t.Helper()
	c := newHTTPClient(t)
	r := raw{token: s.tokenOf(ann), body: strings.Replace(callBody("x"), `"tools/call"`, `"tools/list"`, 1)}
	pace := time.NewTicker(25 * time.Millisecond) // below 50 a second
	defer pace.Stop()
	for range n {
		<-pace.C
		begun := time.Now()
		resp, err := r.try(t, s, c)
		for ; err != nil && len(took) == 0; resp, err = r.try(t, s, c) {
			if time.Since(begun) > patience {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, bufio.NewReader(resp.Body))
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || err != nil {
			t.Errorf("the good client: %d %v", resp.StatusCode, err)
		}
		took = append(took, time.Since(begun))
	}
	return took
}

// heapInUse is what this process, server and flood together, holds.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
