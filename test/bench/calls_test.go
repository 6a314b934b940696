package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	library "github.com/mark3labs/mcp-go/server"

	"github.com/epic-swf/testbed/audit"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/mcpserver"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
	"github.com/epic-swf/testbed/web"
)

const (
	initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`
	callNoop   = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"noop","arguments":{}}}`
	noopAnswer = `{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"done"}],"structuredContent":{"n":1}}}`
)

// window is how long callers call in one round.
func window() time.Duration {
	if *quick {
		return 20 * time.Millisecond
	}
	return 400 * time.Millisecond
}

// calls are rows 1 and 2: a tool that does nothing, behind all that stands in
// front of a real one.
func calls() *group {
	const floor = "net/http JSON echo of the same envelope, loopback"
	g := &group{name: "calls", rows: []*row{
		{of: "`tools/call` of a no-op tool, stdio, 1 caller", floor: floor + ", 1 caller", unit: perSecond, goal: ratioAtLeast(0.75)},
		{of: "the same, streamable HTTP with bearer, guard, audit, 1 caller", floor: floor + ", 1 caller", unit: perSecond, goal: ratioAtLeast(0.5)},
		{of: "the same, 32 callers", floor: floor + ", 32 callers", unit: perSecond, goal: ratioAtLeast(0.35)},
	}}
	g.rows[0].why = "the library decodes each message several times; needs calls answered past it over stdio too, as over HTTP"
	for _, r := range g.rows[1:] {
		r.why = "a call is decoded once past the library already; the rest is net/http's, and two looks at the message, the session, limits and a line of audit written before the answer"
	}
	g.measure = func(t *testing.T, g *group) {
		s := newStack(t, nil)
		piped, over, echo := s.stdio(t), s.http(t), echoServer(t)
		bare := spawn(t, nil, built(t, "bare"))
		bare.ask(initialize)
		bareStdio, bareOver := func() { bare.ask(callNoop) }, bareHTTP(t)
		var sdk func()
		if python() != "" {
			p := spawn(t, nil, python(), filepath.Join("testdata", "noop_server.py"))
			p.ask(initialize)
			_, _ = io.WriteString(p.in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n")
			sdk = func() { p.ask(callNoop) }
		}
		g.inTurn(t, 7, func() []float64 {
			one := perCaller(1, echo)
			return []float64{one, one, perCaller(32, echo)}
		}, func() []float64 {
			v := []float64{perCaller(1, piped), perCaller(1, over), perCaller(32, over)}
			g.rows[0].rival("bare mcp-go", perCaller(1, bareStdio))
			g.rows[1].rival("bare mcp-go over HTTP", perCaller(1, bareOver))
			g.rows[2].rival("bare mcp-go over HTTP", perCaller(32, bareOver))
			if sdk != nil {
				g.rows[0].rival("Python `mcp` SDK server", perCaller(1, sdk))
			}
			return v
		})
	}
	return g
}

// perCaller is how many calls a second so many callers get done.
func perCaller(callers int, call func()) float64 {
	var done atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range callers {
		all.Go(func() {
			for time.Since(began) < window() {
				call()
				done.Add(1)
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / time.Since(began).Seconds()
}

// stack is an MCP server with the no-op tool, audited as the real ones are.
type stack struct{ server *mcpserver.Server }

// newStack makes one; plant, which may be nil, runs in each call.
func newStack(t testing.TB, plant func()) stack {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	trail := audit.New("mcp", audit.OpenFile(filepath.Join(t.TempDir(), "audit.jsonl"), audit.FileOptions{}), log)
	noop := tools.Tool{Name: "noop", Title: "noop", Description: "noop", Input: json.RawMessage(`{"type":"object"}`), Output: json.RawMessage(`{"type":"object"}`),
		Call: func(ctx context.Context, p swf.Principal, _ any, _ func(string)) tools.Result {
			began, origin := time.Now(), tools.OriginFrom(ctx)
			if plant != nil {
				plant()
			}
			trail.Add(audit.Record{CallID: control.NewID(), Time: began, Who: p.Name, From: &origin, Action: "noop", Decision: audit.Allowed,
				Millis: time.Since(began).Seconds() * 1000})
			return tools.Result{Value: map[string]int{"n": 1}, Text: "done"}
		}}
	s, err := mcpserver.New(mcpserver.Options{Tools: []tools.Tool{noop}, Version: "bench"})
	if err != nil {
		t.Fatal(err)
	}
	return stack{s}
}

// stdio calls over a pair of pipes, as a client that started the server does.
func (s stack) stdio(t testing.TB) func() {
	t.Helper()
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.server.ServeStdio(context.Background(), inR, outW, swf.Principal{Name: "ann"}) }()
	t.Cleanup(func() {
		inW.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		inR.Close()
		outR.Close()
		outW.Close()
	})
	answers := bufio.NewReader(outR)
	ask := func(line string) {
		if _, err := io.WriteString(inW, line+"\n"); err != nil {
			t.Error(err)
		}
		if text, err := answers.ReadString('\n'); err != nil || !bytes.Contains([]byte(text), []byte(`"result"`)) {
			t.Errorf("%v: %s", err, text)
		}
	}
	ask(initialize)
	return func() { ask(callNoop) }
}

// http calls over streamable HTTP with a bearer token, in a session.
func (s stack) http(t testing.TB) func() {
	t.Helper()
	l, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := s.server.HTTP(mcpserver.HTTPOptions{PerSecond: -1, Calls: mcpserver.CallLimits{PerSecond: 1e9, Burst: 1e9, AtOnce: 512},
		Lookup: func(token string) (swf.Principal, bool) { return swf.Principal{Name: "ann"}, token == "T" }})
	background(t, (&web.Server{Listener: l, Handler: h, BeforeShutdown: h.Close}).Run)
	c := keeper(t)
	url := "http://" + l.Addr().String() + "/mcp"
	session := post(t, c, url, "", initialize).Get("Mcp-Session-Id")
	return func() { post(t, c, url, session, callNoop) }
}

// bareHTTP calls the same tool over the library's own transport, in a session,
// with none of ours in front: no token, no guard, no limit, no audit.
func bareHTTP(t testing.TB) func() {
	t.Helper()
	s := library.NewMCPServer("bare", "1", library.WithToolCapabilities(false))
	s.AddTool(mcp.NewToolWithRawSchema("noop", "noop", json.RawMessage(`{"type":"object"}`)), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultStructured(map[string]int{"n": 1}, "done"), nil
	})
	l := listen(t)
	srv := &http.Server{Handler: library.NewStreamableHTTPServer(s, library.WithStateful(true))}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	c, url := keeper(t), "http://"+l.Addr().String()+"/mcp"
	session := post(t, c, url, "", initialize).Get("Mcp-Session-Id")
	return func() { post(t, c, url, session, callNoop) }
}

// echoServer is the floor: it decodes the envelope and answers the bytes.
func echoServer(t testing.TB) func() {
	t.Helper()
	answer := []byte(noopAnswer)
	l := listen(t)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m map[string]any
		_ = json.NewDecoder(r.Body).Decode(&m)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	c := keeper(t)
	return func() { post(t, c, "http://"+l.Addr().String(), "", callNoop) }
}

// keeper is an HTTP client that keeps a connection for each caller.
func keeper(t testing.TB) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// post sends a message and returns the header of the answer.
func post(t testing.TB, c *http.Client, url, session, body string) http.Header {
	h, _ := exchanged(t, c, url, session, body)
	return h
}

// exchange sends a message and returns the answer.
func exchange(t testing.TB, c *http.Client, url, session, body string) string {
	_, text := exchanged(t, c, url, session, body)
	return text
}

func exchanged(t testing.TB, c *http.Client, url, session, body string) (http.Header, string) {
	r, _ := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Authorization", "Bearer T")
	if session != "" {
		r.Header.Set("Mcp-Session-Id", session)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Error(err)
		return nil, ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", resp.Status, text)
	}
	return resp.Header, string(text)
}
