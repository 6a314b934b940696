package mcpserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/epic-swf/testbed/swf"
)

var ann = swf.Principal{Name: "ann"}

// pipe1 pipes the lines into the server, as a shell script would, and returns
// the lines that come out.
func pipe1(t *testing.T, s *Server, lines ...string) [][]byte {
	t.Helper()
	var out bytes.Buffer
	if err := s.ServeStdio(t.Context(), strings.NewReader(strings.Join(lines, "\n")+"\n"), &out, ann); err != nil {
		t.Fatal(err)
	}
	got := bytes.Split(bytes.TrimSuffix(out.Bytes(), []byte("\n")), []byte("\n"))
	for _, l := range got {
		if !json.Valid(l) {
			t.Errorf("not protocol on the output: %q", l)
		}
	}
	return got
}

func idOf(t *testing.T, line []byte) string {
	t.Helper()
	var m struct {
		ID json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatal(err)
	}
	return string(m.ID)
}

func TestPipedRequestsAreAllAnswered(t *testing.T) {
	s, _ := newServer(t, nil)
	lines := []string{initialize, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, rpc(2, "tools/list", "")}
	for i := range 200 {
		lines = append(lines, callTool(10+i, "start_user_testbed"))
	}
	out := pipe1(t, s, lines...)
	if len(out) != 202 {
		t.Fatalf("%d answers to 202 requests", len(out))
	}
	if idOf(t, out[0]) != "1" || idOf(t, out[1]) != "2" {
		t.Errorf("initialize and tools/list came as %s and %s", idOf(t, out[0]), idOf(t, out[1]))
	}
	seen := map[string]bool{}
	for _, l := range out {
		seen[idOf(t, l)] = true
	}
	if len(seen) != 202 {
		t.Errorf("%d different ids", len(seen))
	}
}

func TestALastLineWithoutItsEndIsAnswered(t *testing.T) {
	s, _ := newServer(t, nil)
	var out bytes.Buffer
	if err := s.ServeStdio(t.Context(), strings.NewReader(rpc(7, "ping", "")), &out, ann); err != nil || idOf(t, out.Bytes()) != "7" {
		t.Errorf("%v, %q", err, out.String())
	}
}

func TestNothingIsTouchedBeforeTheFirstCall(t *testing.T) {
	s, c := newServer(t, nil)
	pipe1(t, s, initialize, rpc(2, "tools/list", ""), rpc(3, "ping", ""))
	if n := c.touched.Load(); n != 0 {
		t.Errorf("the broker was used %d times", n)
	}
}

func TestBadLines(t *testing.T) {
	s, c := newServer(t, nil)
	out := pipe1(t, s,
		`not json`,
		strings.Repeat("x", maxMessage+1),
		`{"jsonrpc":"2.0","id":3,"METHOD":"tools/call","params":{"name":"stop_user_testbed"}}`,
		``, `   `,
		callTool(4, "no_such_tool"),
		rpc(5, "tools/call", `{"name":"start_user_testbed","arguments":{"bogus":1}}`),
		callTool(6, "panic"),
		rpc(9, "ping", ""))
	all := string(bytes.Join(out, []byte("\n")))
	if len(out) != 7 || !strings.Contains(all, `"id":9`) {
		t.Errorf("%d answers:\n%s", len(out), all)
	}
	for _, want := range []string{"not valid JSON", "longer than 1048576 bytes", "is not a key of a JSON-RPC message", "there is no tool", "start_user_testbed has no argument", "Something failed inside the server"} {
		if !strings.Contains(all, want) {
			t.Errorf("nobody says %q:\n%s", want, all)
		}
	}
	if strings.Contains(all, "hunter2") || c.touched.Load() != 0 {
		t.Error("a secret was told, or something was done")
	}
}

func TestThePrincipalIsTheUserOfThePipe(t *testing.T) {
	s, _ := newServer(t, nil)
	out := string(pipe1(t, s, callTool(1, "start_user_testbed"))[0])
	if !strings.Contains(out, "issued by ann") {
		t.Error(out)
	}
	out = string(pipe1(t, s, rpc(1, "tools/call", `{"name":"start_user_testbed","arguments":{"username":"bob"}}`))[0])
	if !strings.Contains(out, `"code":"forbidden"`) {
		t.Error(out)
	}
}

func TestProgressComesBeforeItsResult(t *testing.T) {
	s, _ := newServer(t, nil)
	lines := []string{initialize}
	const calls = 100
	for i := range calls {
		lines = append(lines, rpc(100+i, "tools/call", fmt.Sprintf(`{"name":"count","arguments":{},"_meta":{"progressToken":%d}}`, 100+i)))
	}
	told := map[string]int{}
	for _, l := range pipe1(t, s, lines...) {
		var m struct {
			ID     json.RawMessage `json:"id"`
			Params struct {
				Token json.RawMessage `json:"progressToken"`
			} `json:"params"`
		}
		if err := json.Unmarshal(l, &m); err != nil {
			t.Fatal(err)
		}
		if len(m.ID) == 0 {
			told[string(m.Params.Token)]++
		} else if n := told[string(m.ID)]; n != 3 && string(m.ID) != "1" {
			t.Errorf("call %s ended after %d of 3 messages", m.ID, n)
		}
	}
	if len(told) != calls {
		t.Errorf("progress of %d calls", len(told))
	}
}

// wire is a live connection.
type wire struct {
	in    *io.PipeWriter
	lines chan []byte
	ended chan error
	out   *io.PipeReader
}

func connect(t *testing.T, ctx context.Context, s *Server) *wire {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	w := &wire{in: inW, out: outR, lines: make(chan []byte, 4096), ended: make(chan error, 1)}
	go func() {
		w.ended <- s.ServeStdio(ctx, inR, outW, ann)
		inR.Close()
		outW.Close()
	}()
	go func() {
		defer close(w.lines)
		for sc := bufio.NewScanner(outR); sc.Scan(); {
			w.lines <- bytes.Clone(sc.Bytes())
		}
	}()
	t.Cleanup(func() { inW.Close(); outR.Close() })
	return w
}

func (w *wire) send(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(w.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

func TestBlockedCallsDoNotStallTheRest(t *testing.T) {
	g := newGate()
	s, _ := newServer(t, g)
	w := connect(t, t.Context(), s)
	const calls = 100 // more than there are workers
	for i := range calls {
		w.send(t, callTool(1000+i, "gate"))
	}
	for range pipeWorkers {
		await(t, g.entered, "a call begins")
	}
	w.send(t, rpc(1, "ping", ""))
	if id := idOf(t, await(t, w.lines, "ping is answered")); id != "1" {
		t.Errorf("first answer %s", id)
	}
	w.in.Close() // EOF drains
	close(g.open)
	for range calls {
		await(t, w.lines, "a call is answered")
	}
	if err := await(t, w.ended, "the server ends"); err != nil {
		t.Error(err)
	}
	if len(g.ended) != 0 {
		t.Errorf("%d calls were cut off", len(g.ended))
	}
}

func TestACallCanBeCancelled(t *testing.T) {
	g := newGate()
	s, _ := newServer(t, g)
	w := connect(t, t.Context(), s)
	w.send(t, callTool(7, "gate"))
	await(t, g.entered, "the call begins")
	w.send(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`)
	await(t, g.ended, "the call ends")
	w.in.Close()
	await(t, w.ended, "the server ends")
}

func TestTheEndOfTheContextEndsTheServer(t *testing.T) {
	g := newGate()
	s, _ := newServer(t, g)
	ctx, cancel := context.WithCancel(t.Context())
	w := connect(t, ctx, s)
	w.send(t, callTool(7, "gate"))
	await(t, g.entered, "the call begins")
	cancel()
	if err := await(t, w.ended, "the server ends"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	await(t, g.ended, "the call ends")
}

func TestAClientThatGoesAwayEndsTheServer(t *testing.T) {
	s, _ := newServer(t, nil)
	w := connect(t, t.Context(), s)
	w.out.Close()
	w.send(t, rpc(1, "ping", ""))
	if err := await(t, w.ended, "the server ends"); !errors.Is(err, errClientGone) {
		t.Error(err)
	}
}

func TestAListenDoesNotHoldUpTheEnd(t *testing.T) {
	s, _ := newServer(t, nil)
	w := connect(t, t.Context(), s)
	w.send(t, modern(1, "subscriptions/listen", "").body)
	w.send(t, modern(2, "tools/list", "").body)
	w.in.Close()
	if err := await(t, w.ended, "the server ends"); err != nil {
		t.Error(err)
	}
}

func TestTwoPipesDoNotHearEachOther(t *testing.T) {
	s, _ := newServer(t, nil)
	a, b := connect(t, t.Context(), s), connect(t, t.Context(), s)
	for _, w := range []*wire{a, b} {
		w.send(t, initialize)
		await(t, w.lines, "initialize is answered")
	}
	for i := range 30 {
		a.send(t, rpc(i+10, "tools/call", `{"name":"count","arguments":{},"_meta":{"progressToken":"a"}}`))
	}
	for range 120 {
		await(t, a.lines, "progress and results of the first")
	}
	b.send(t, rpc(99, "ping", ""))
	if id := idOf(t, await(t, b.lines, "ping is answered")); id != "99" {
		t.Errorf("the second heard %s", id)
	}
	for _, w := range []*wire{a, b} {
		w.in.Close()
		await(t, w.ended, "the server ends")
	}
}

// TestALibraryClient speaks as a client library does.
// onEveryTransport runs a test with a client that is ann, on each.
func onEveryTransport(t *testing.T, s *Server, test func(*testing.T, *client.Client)) {
	t.Helper()
	t.Run("stdio", func(t *testing.T) {
		inR, inW := io.Pipe()
		outR, outW := io.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- s.ServeStdio(t.Context(), inR, outW, ann); outW.Close() }()
		c := client.NewClient(transport.NewIO(outR, inW, io.NopCloser(strings.NewReader(""))))
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		test(t, c)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := await(t, ended, "the server ends"); err != nil {
			t.Error(err)
		}
	})
	st := serve(t, s, HTTPOptions{})
	auth := map[string]string{"Authorization": "Bearer ann-token"}
	for name, connect := range map[string]func() (*client.Client, error){
		"streamable": func() (*client.Client, error) {
			return client.NewStreamableHttpClient(st.url+"/mcp", transport.WithHTTPHeaders(auth))
		},
		"sse": func() (*client.Client, error) {
			return client.NewSSEMCPClient(st.url+"/sse", transport.WithHeaders(auth))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := connect()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			test(t, c)
		})
	}
}

func hello(t *testing.T, c *client.Client) *mcp.InitializeResult {
	t.Helper()
	init, err := c.Initialize(t.Context(), mcp.InitializeRequest{Params: mcp.InitializeParams{ProtocolVersion: mcp.LATEST_LEGACY_PROTOCOL_VERSION,
		ClientInfo: mcp.Implementation{Name: "test", Version: "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	return init
}

// converse does what every client does.
func converse(t *testing.T, c *client.Client) {
	t.Helper()
	heard := make(chan string, 100)
	c.OnNotification(func(n mcp.JSONRPCNotification) { heard <- n.Method })
	if init := hello(t, c); init.ServerInfo.Name != Name || !strings.Contains(init.Instructions, "In this order") {
		t.Errorf("initialize: %+v", init)
	}
	list, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
	if err != nil || len(list.Tools) < 6 {
		t.Fatalf("tools/list: %v, %d tools", err, len(list.Tools))
	}
	call := mcp.CallToolRequest{}
	call.Params.Name = "start_user_testbed"
	call.Params.Arguments = map[string]any{"config_name": "testbed.toml"}
	call.Params.Meta = mcp.NewMetaFromMap(map[string]any{"progressToken": "p1"})
	r, err := c.CallTool(t.Context(), call)
	if err != nil || r.IsError {
		t.Fatalf("call: %v, %+v", err, r)
	}
	if s, _ := json.Marshal(r.StructuredContent); !bytes.Contains(s, []byte(`"outcome":"succeeded"`)) {
		t.Errorf("structured content %s", s)
	}
	if m := await(t, heard, "progress is told"); m != "notifications/progress" {
		t.Errorf("heard %s", m)
	}
}
