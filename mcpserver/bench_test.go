package mcpserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// The benchmarks compare a tool that does nothing, behind everything that
// stands in front of a real one, with the least that could answer the same
// bytes: run them together and look at the ratios.

func noop(context.Context, swf.Principal, any, func(string)) tools.Result {
	return tools.Result{Value: map[string]int{"n": 1}, Text: "done"}
}

func benchServer(b *testing.B) *Server {
	s, err := New(Options{Tools: []tools.Tool{testTool("noop", noop)}})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// post sends one request over a kept connection.
func post(b *testing.B, c *http.Client, url, session string, body []byte) http.Header {
	r, _ := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer T")
	if session != "" {
		r.Header.Set("Mcp-Session-Id", session)
	}
	resp, err := c.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.Fatal(resp.Status)
	}
	return resp.Header
}

func BenchmarkFloorHTTPEcho(b *testing.B) {
	answer := []byte(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"done"}],"structuredContent":{"n":1}}}`)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m map[string]any
		_ = json.NewDecoder(r.Body).Decode(&m)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}))
	defer srv.Close()
	body := []byte(callTool(1, "noop"))
	callers(b, func() { post(b, srv.Client(), srv.URL, "", body) })
}

func BenchmarkHTTPCall(b *testing.B) {
	h := benchServer(b).HTTP(HTTPOptions{PerSecond: -1, Lookup: func(string) (swf.Principal, bool) { return ann, true }})
	defer h.Close()
	srv := httptest.NewServer(h)
	defer srv.Close()
	session := post(b, srv.Client(), srv.URL+"/mcp", "", []byte(initialize)).Get("Mcp-Session-Id")
	body := []byte(callTool(1, "noop"))
	callers(b, func() { post(b, srv.Client(), srv.URL+"/mcp", session, body) })
}

// callers runs one caller, then many.
func callers(b *testing.B, call func()) {
	b.Run("1", func(b *testing.B) {
		for b.Loop() {
			call()
		}
	})
	b.Run("32", func(b *testing.B) {
		b.SetParallelism(16) // times GOMAXPROCS
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				call()
			}
		})
	})
}

func BenchmarkStdioCall(b *testing.B) {
	s := benchServer(b)
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- s.ServeStdio(context.Background(), inR, outW, ann); outW.Close() }()
	answers := bufio.NewReader(outR)
	line := callTool(1, "noop") + "\n"
	for b.Loop() {
		if _, err := io.WriteString(inW, line); err != nil {
			b.Fatal(err)
		}
		if _, err := answers.ReadBytes('\n'); err != nil {
			b.Fatal(err)
		}
	}
	inW.Close()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkReadMessage(b *testing.B) {
	for _, n := range []int{1, 100} {
		raw := []byte(rpc(1, "tools/call", fmt.Sprintf(`{"name":"x","arguments":{"a":"%s"}}`, strings.Repeat("y", 100*n))))
		b.Run(fmt.Sprint(len(raw)), func(b *testing.B) {
			for b.Loop() {
				if _, p := readMessage(raw); p != nil {
					b.Fatal(p)
				}
			}
		})
	}
}
