package mcpserver

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/server"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// echoes is a tool whose answer depends on all that it is given, and on nothing
// else.
func echoes(ctx context.Context, p swf.Principal, args any, tell func(string)) tools.Result {
	o := tools.OriginFrom(ctx)
	m, _ := args.(map[string]any)
	value := map[string]any{"who": p, "args": args, "tells": tell != nil, "client": o.Client, "protocol": o.Protocol, "transport": o.Transport}
	return tools.Result{Value: value, Text: fmt.Sprintf("<b>&\u2028é😀 %v", m["text"]), Failed: m["fail"] == true}
}

// TestDirectCallsAreAnsweredAlike sends the same requests past the library's
// transport and through it, and wants the same answers to the byte.
func TestDirectCallsAreAnsweredAlike(t *testing.T) {
	list := []tools.Tool{testTool("echoes", echoes),
		testTool("panics", func(context.Context, swf.Principal, any, func(string)) tools.Result { panic("secret") }),
		testTool("unspeakable", func(context.Context, swf.Principal, any, func(string)) tools.Result {
			return tools.Result{Value: map[string]any{"f": "f"}, Text: strings.Repeat("é", 1<<17)}
		}),
		testTool("ends", echoes)}
	list[3].Effect = tools.Ends
	s, err := New(Options{Tools: list, Version: "v0.0.0-test"})
	if err != nil {
		t.Fatal(err)
	}
	st := serve(t, s, HTTPOptions{PerSecond: -1})
	session := st.session(t, "ann-token")
	entry, ok := s.sessions.Load(session)
	if !ok {
		t.Fatal("the session is not known")
	}
	late := modern(2, "tools/call", "echoes")
	call := func(params string) string { return rpc(7, "tools/call", params) }
	for _, c := range []struct {
		body   string
		header map[string]string
		direct bool
	}{
		{body: callTool(1, "echoes"), direct: true},
		{body: callTool("a string", "echoes"), direct: true},
		{body: callTool("<é\u2028>", "echoes"), direct: true},
		{body: callTool(-1<<53, "echoes"), direct: true},
		{body: `{"jsonrpc":"2.0","id":"\u0041\n","method":"tools\/call","params":{"name":"ech\u006fes"}}`, direct: true},
		{body: ` { "params" : { "arguments" : { "text" : "<&>", "n" : 1e3 , "deep":[{"a":null}]} , "name" : "echoes" } , "method":"tools/call", "id":0, "jsonrpc":"2.0" } `, direct: true},
		{body: call(`{"name":"echoes","arguments":{"fail":true,"n":12345678901234567890}}`), direct: true},
		{body: call(`{"name":"echoes","arguments":[1,2]}`), direct: true},
		{body: call(`{"name":"echoes","arguments":null}`), direct: true},
		{body: call(`{"name":"echoes","arguments":"{}"}`), direct: true},
		{body: call(`{"name":"echoes","_meta":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}`), direct: true},
		{body: call(`{"name":"echoes","_meta":{"io.modelcontextprotocol/protocolVersion":"2025-06-18"}}`), direct: true},
		{body: call(`{"name":"echoes","_meta":null,"task":{"ttl":1}}`), direct: true},
		{body: call(`{"name":"echoes","unknown":1}`), direct: true},
		{body: call(`{"name":"panics"}`), direct: true},
		{body: call(`{"name":"unspeakable"}`), direct: true},
		{body: strings.Replace(callTool(1, "echoes"), `"2.0"`, `"1.0"`, 1)},
		{body: strings.Replace(callTool(1, "echoes"), `"jsonrpc":"2.0",`, "", 1)},
		{body: strings.Replace(callTool(1, "echoes"), `"id"`, `"result":1,"id"`, 1)},
		{body: callTool(1, "echoes"), header: map[string]string{"Accept": "application/json"}, direct: true},
		{body: callTool(1, "echoes"), header: map[string]string{"Accept": ""}, direct: true},
		{body: callTool(1, "echoes"), header: map[string]string{"Mcp-Protocol-Version": "2025-03-26"}, direct: true},
		{body: callTool(1, "echoes"), header: map[string]string{"Mcp-Protocol-Version": "1999-01-01"}},
		{body: callTool(1, "echoes"), header: map[string]string{"Mcp-Protocol-Version": "2026-07-28"}},
		{body: call(`{"name":"echoes","_meta":{"progressToken":0}}`)},
		{body: call(`{"name":"echoes","_meta":7}`)},
		{body: call(`["echoes"]`)},
		{body: call(`{"name":"echoes","task":7}`)},
		{body: call(`{"name":"echoes","requestState":"x","inputResponses":{"confirm":{"action":"accept"}}}`), direct: true},
		{body: callTool(1, "ends")},
		{body: callTool(1, "nothing")},
		{body: rpc(1, "tools/list", "")},
		{body: `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echoes"}}`},
		{body: late.body, header: late.header},
	} {
		r := req{session: session, body: c.body, header: c.header}
		if m, bad := readMessage([]byte(c.body)); bad != nil {
			t.Errorf("%s: %v", c.body, bad)
		} else if hr := request(r); (st.http.direct(hr, &m, m.Modern || c.header["Mcp-Protocol-Version"] == "2026-07-28") != nil) != c.direct {
			t.Errorf("%s %v: direct is %v", c.body, c.header, !c.direct)
		}
		ours := answerOf(t, st, r)
		s.sessions.Delete(session) // as if it were a replica's
		library := answerOf(t, st, r)
		s.sessions.Store(session, entry)
		if ours != library {
			t.Errorf("%s %v\nis answered\n%.1000s\nand by the library\n%.1000s", c.body, c.header, ours, library)
		}
	}
}

// request is what the server sees of r.
func request(r req) *http.Request {
	hr := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(r.body))
	hr.Header.Set("Mcp-Session-Id", r.session)
	for k, v := range r.header {
		hr.Header.Set(k, v)
	}
	return hr
}

// answerOf is the whole of an answer, but for its date.
func answerOf(t *testing.T, st *site, r req) string {
	t.Helper()
	resp := st.do(t, r)
	defer resp.Body.Close()
	resp.Header.Del("Date")
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v %d\n", resp.Status, resp.Header, resp.ContentLength)
	buf := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

// TestDirectCallsAreCancelled: by their own session, as any other.
func TestDirectCallsAreCancelled(t *testing.T) {
	g := newGate()
	s, _ := newServer(t, g)
	st := serve(t, s, HTTPOptions{})
	ann := st.session(t, "ann-token")
	done := make(chan string, 1)
	go func() {
		_, body := st.status(t, req{session: ann, body: callTool(7, "gate")})
		done <- body
	}()
	await(t, g.entered, "the call begins")
	cancel := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`
	if code, _ := st.status(t, req{session: ann, body: cancel}); code != http.StatusAccepted {
		t.Errorf("cancelled: %d", code)
	}
	await(t, g.ended, "the call is cancelled")
	await(t, done, "the call is answered")
}

// TestDirectCallsKeepTheirSession: the library, which forgets sessions of which
// it hears nothing, hears of those whose calls pass it by.
func TestDirectCallsKeepTheirSession(t *testing.T) {
	s, _ := newServer(t, nil)
	st := serve(t, s, HTTPOptions{})
	session := st.session(t, "ann-token")
	entry, _ := s.sessions.Load(session)
	way := func() server.ClientSession {
		m, _ := readMessage([]byte(callTool(1, "count")))
		return st.http.direct(request(req{session: session}), &m, false)
	}
	if way() == nil {
		t.Error("a call in a lively session goes the long way")
	}
	entry.(*known).touched.Store(0)
	if way() != nil {
		t.Error("the library hears nothing of the session")
	}
	if way() == nil {
		t.Error("the library has heard of it, and hears of it again at once")
	}
	st.status(t, req{method: http.MethodDelete, session: session})
	if way() != nil {
		t.Error("the session has ended and is still known")
	}
}
