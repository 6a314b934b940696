package mcpserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
	"github.com/epic-swf/testbed/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answering is a Commander whose managers are alive and obey at once.
type answering struct{ touched, acted atomic.Int64 }

func (a *answering) Ping(_ context.Context, username string) (control.Pong, error) {
	a.touched.Add(1)
	return control.Pong{Protocol: control.Protocol, Username: username, State: swf.TestbedStopped}, nil
}

func (a *answering) Ask(_ context.Context, cmd control.Command, progress func(control.Reply)) (control.Reply, error) {
	a.touched.Add(1)
	if cmd.Verb.Effect() {
		a.acted.Add(1)
	}
	if progress != nil {
		progress(control.Reply{Kind: control.Accepted})
	}
	return control.Reply{CommandID: cmd.ID, Kind: control.Final, Outcome: control.Succeeded, Message: "issued by " + cmd.IssuedBy}, nil
}

// gate is a tool that waits until it is let through, or its call ends.
type gate struct {
	entered chan struct{}
	open    chan struct{}
	ended   chan struct{} // the call's context ended first
}

func newGate() *gate {
	return &gate{entered: make(chan struct{}, 4096), open: make(chan struct{}), ended: make(chan struct{}, 4096)}
}

func (g *gate) call(ctx context.Context, p swf.Principal, _ any, _ func(string)) tools.Result {
	g.entered <- struct{}{}
	select {
	case <-g.open:
	case <-ctx.Done():
		g.ended <- struct{}{}
	}
	return tools.Result{Value: map[string]string{"who": p.Name}, Text: "through"}
}

var anySchema = json.RawMessage(`{"type":"object","properties":{"n":{"type":"integer"}}}`)

func testTool(name string, call func(context.Context, swf.Principal, any, func(string)) tools.Result) tools.Tool {
	return tools.Tool{Name: name, Title: name, Description: name, Input: anySchema, Output: json.RawMessage(`{"type":"object"}`), Call: call}
}

// newServer makes a Server with the six tools and some that only tests need.
func newServer(t *testing.T, g *gate) (*Server, *answering) {
	t.Helper()
	c := &answering{}
	list := tools.New(tools.Options{Commander: c, Limits: tools.Limits{PerSecond: -1}}).Tools()
	if g != nil {
		list = append(list, testTool("gate", g.call))
	}
	list = append(list,
		testTool("count", func(_ context.Context, _ swf.Principal, _ any, tell func(string)) tools.Result {
			for i := range 3 {
				if tell != nil {
					tell(fmt.Sprint(i))
				}
			}
			return tools.Result{Value: map[string]int{"n": 3}, Text: "3"}
		}),
		testTool("big", func(context.Context, swf.Principal, any, func(string)) tools.Result {
			return tools.Result{Value: map[string]int{}, Text: strings.Repeat("x", 1<<20)}
		}),
		testTool("panic", func(context.Context, swf.Principal, any, func(string)) tools.Result { panic("secret: hunter2") }))
	s, err := New(Options{Tools: list, Version: "v0.0.0-test"})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// site is a running HTTP server.
type site struct {
	url   string
	http  *HTTP
	stop  context.CancelFunc // and wait for ended
	ended chan error
}

var tokens = map[string]swf.Principal{"ann-token": {Name: "ann"}, "bob-token": {Name: "bob"}, "vic-token": {Name: "vic", ReadOnly: true}}

// serve runs the server as a program would.
func serve(t *testing.T, s *Server, o HTTPOptions) *site {
	t.Helper()
	if o.Lookup == nil && o.Anonymous.Name == "" {
		o.Lookup = func(token string) (swf.Principal, bool) { p, ok := tokens[token]; return p, ok }
	}
	if o.Calls == (CallLimits{}) {
		o.Calls = CallLimits{PerSecond: 1e6, Burst: 1e6, AtOnce: 512}
	}
	l, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := s.HTTP(o)
	ctx, cancel := context.WithCancel(context.Background())
	st := &site{url: "http://" + l.Addr().String(), http: h, stop: cancel, ended: make(chan error, 1)}
	go func() {
		st.ended <- (&web.Server{Listener: l, Handler: h, Grace: 10 * time.Second, BeforeShutdown: h.Close}).Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		if err, ok := <-st.ended; ok && err != nil {
			t.Errorf("server: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return st
}

// shutDown stops the site and returns once it has ended.
func (st *site) shutDown() error {
	st.stop()
	err := <-st.ended
	close(st.ended)
	return err
}

// req is one raw request; zero fields get what a good client would send.
type req struct {
	method, path, token, session, body, host string
	header                                   map[string]string
	ctx                                      context.Context
}

func (st *site) do(t *testing.T, r req) *http.Response {
	t.Helper()
	if r.method == "" {
		r.method = http.MethodPost
	}
	if r.path == "" {
		r.path = "/mcp"
	}
	if r.token == "" {
		r.token = "ann-token"
	}
	if r.ctx == nil {
		r.ctx = t.Context()
	}
	hr, err := http.NewRequestWithContext(r.ctx, r.method, st.url+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	hr.Header.Set("Accept", "application/json, text/event-stream")
	if r.method == http.MethodPost {
		hr.Header.Set("Content-Type", "application/json")
	}
	if r.token != "none" {
		hr.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.session != "" {
		hr.Header.Set("Mcp-Session-Id", r.session)
	}
	for k, v := range r.header {
		if v == "" {
			hr.Header.Del(k)
		} else {
			hr.Header.Set(k, v)
		}
	}
	hr.Host = r.host
	resp, err := http.DefaultClient.Do(hr)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	return resp
}

// status does the request and returns the status and the body.
func (st *site) status(t *testing.T, r req) (int, string) {
	t.Helper()
	resp := st.do(t, r)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`

func rpc(id any, method, params string) string {
	if params == "" {
		params = "{}"
	}
	i, _ := json.Marshal(id)
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":%s}`, i, method, params)
}

func callTool(id any, name string) string {
	return rpc(id, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":{}}`, name))
}

// session initializes and returns the session's id.
func (st *site) session(t *testing.T, token string) string {
	t.Helper()
	resp := st.do(t, req{token: token, body: initialize})
	resp.Body.Close()
	id := resp.Header.Get("Mcp-Session-Id")
	if resp.StatusCode != http.StatusOK || id == "" {
		t.Fatalf("initialize: %d, session %q", resp.StatusCode, id)
	}
	return id
}

// modern is a request of protocol version 2026-07-28.
func modern(id any, method, name string) req {
	params := map[string]any{"_meta": map[string]any{"io.modelcontextprotocol/protocolVersion": "2026-07-28",
		"io.modelcontextprotocol/clientCapabilities": map[string]any{}}}
	h := map[string]string{"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": method}
	if name != "" {
		params["name"], params["arguments"], h["Mcp-Name"] = name, map[string]any{}, name
	}
	p, _ := json.Marshal(params)
	return req{body: rpc(id, method, string(p)), header: h}
}

// await waits for a thing that must happen, at most for a long time.
func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("it never happened: %s", what)
		panic("unreachable")
	}
}
