package mcpserver

import (
	"strings"
	"testing"
)

// TestGuards is every request that must not get through, on every route.
func TestGuards(t *testing.T) {
	s, c := newServer(t, nil)
	st := serve(t, s, HTTPOptions{})
	session := st.session(t, "ann-token")
	harm := callTool(1, "stop_user_testbed")
	for _, c := range []struct {
		name string
		r    req
		want int
	}{
		{"no token", req{token: "none", body: initialize}, 401},
		{"wrong token", req{token: "eve", body: initialize}, 401},
		{"token in the query", req{path: "/mcp?access_token=ann-token", body: initialize}, 401},
		{"no token, GET", req{method: "GET", token: "none"}, 401},
		{"no token, HEAD", req{method: "HEAD", token: "none"}, 401},
		{"no token, OPTIONS", req{method: "OPTIONS", token: "none"}, 401},
		{"no token, DELETE", req{method: "DELETE", token: "none"}, 401},
		{"no token, SSE", req{method: "GET", path: "/sse", token: "none"}, 401},
		{"no token, message", req{path: "/message?sessionId=" + session, token: "none", body: harm}, 401},
		{"no token, elsewhere", req{method: "GET", path: "/metrics", token: "none"}, 401},
		{"elsewhere", req{method: "GET", path: "/debug/pprof/"}, 404},
		{"HEAD", req{method: "HEAD"}, 405},
		{"OPTIONS", req{method: "OPTIONS"}, 405},
		{"PUT", req{method: "PUT"}, 405},
		{"POST to SSE", req{path: "/sse", body: initialize}, 405},
		{"GET of message", req{method: "GET", path: "/message"}, 405},
		{"HEAD of health", req{method: "HEAD", path: "/health"}, 405},
		{"another host", req{body: initialize, host: "evil.example"}, 403},
		{"another host, health", req{method: "GET", path: "/health", host: "evil.example"}, 403},
		{"another host, SSE", req{method: "GET", path: "/sse", host: "evil.example:80"}, 403},
		{"another origin", req{body: initialize, header: map[string]string{"Origin": "https://evil.example"}}, 403},
		{"null origin", req{body: initialize, header: map[string]string{"Origin": "null"}}, 403},
		{"another origin, SSE", req{method: "GET", path: "/sse", header: map[string]string{"Origin": "https://evil.example"}}, 403},
		{"another origin, message", req{path: "/message", body: harm, header: map[string]string{"Origin": "https://evil.example", "Content-Type": "text/plain"}}, 403},
		{"another origin, health", req{method: "GET", path: "/health", header: map[string]string{"Origin": "https://evil.example"}}, 403},
		{"text", req{body: harm, session: session, header: map[string]string{"Content-Type": "text/plain"}}, 415},
		{"a form", req{body: harm, session: session, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}, 415},
		{"no content type", req{body: harm, session: session, header: map[string]string{"Content-Type": ""}}, 415},
		{"text to message", req{path: "/message?sessionId=" + session, body: harm, header: map[string]string{"Content-Type": "text/plain"}}, 415},
		{"compressed", req{body: harm, session: session, header: map[string]string{"Content-Encoding": "gzip"}}, 415},
		{"too long", req{body: strings.Repeat(" ", maxMessage) + harm, session: session}, 413},
		{"too long, message", req{path: "/message?sessionId=" + session, body: strings.Repeat(" ", maxMessage) + harm}, 413},
		{"takes no JSON", req{body: harm, session: session, header: map[string]string{"Accept": "text/html"}}, 406},
		{"takes no stream", req{method: "GET", session: session, header: map[string]string{"Accept": "application/json"}}, 406},
		{"not JSON", req{body: "{", session: session}, 400},
		{"smuggled", req{body: `{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"stop_user_testbed"}}`, session: session}, 400},
		{"smuggled in a message", req{path: "/message?sessionId=" + session, body: `{"jsonrpc":"2.0","id":1,"METHOD":"tools/call","params":{"name":"stop_user_testbed"}}`}, 400},
		{"a batch", req{body: "[" + harm + "]", session: session}, 400},
		{"no session", req{body: harm}, 400},
		{"no session, GET", req{method: "GET"}, 400},
		{"no session, DELETE", req{method: "DELETE"}, 400},
		{"made-up session", req{body: harm, session: "made-up"}, 404},
		{"made-up session, GET", req{method: "GET", session: "made-up"}, 404},
		{"made-up session, DELETE", req{method: "DELETE", session: "made-up"}, 404},
		{"made-up session, message", req{path: "/message?sessionId=made-up", body: harm}, 404},
		{"another's session", req{token: "bob-token", body: harm, session: session}, 404},
		{"another's session, GET", req{token: "bob-token", method: "GET", session: session}, 404},
		{"another's session, DELETE", req{token: "bob-token", method: "DELETE", session: session}, 404},
		{"another's session, message", req{token: "bob-token", path: "/message?sessionId=" + session, body: harm}, 404},
		{"2026 without its headers", req{body: modern(1, "tools/call", "stop_user_testbed").body}, 400},
		{"2026, header and body disagree", req{body: modern(1, "tools/call", "stop_user_testbed").body, header: modern(1, "tools/list", "").header}, 400},
		{"2026, GET", req{method: "GET", header: map[string]string{"Mcp-Protocol-Version": "2026-07-28"}}, 405},
	} {
		resp := st.do(t, c.r)
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", c.name, resp.StatusCode, c.want)
		}
		if resp.StatusCode == 401 && resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: 401 without WWW-Authenticate", c.name)
		}
		if resp.StatusCode == 405 && c.r.method != "GET" && resp.Header.Get("Allow") == "" {
			t.Errorf("%s: 405 without Allow", c.name)
		}
		if h := resp.Header.Get("Access-Control-Allow-Origin"); h != "" {
			t.Errorf("%s: pages of %s may read it", c.name, h)
		}
	}
	if n := c.touched.Load(); n != 0 {
		t.Errorf("something was done %d times", n)
	}
	if code, body := st.status(t, req{body: harm, session: session}); code != 200 || !strings.Contains(body, "issued by ann") {
		t.Errorf("the good client: %d %s", code, body)
	}
	if code, body := st.status(t, req{method: "GET", path: "/health", token: "none"}); code != 200 || strings.TrimSpace(body) != `{"status":"ok"}` {
		t.Errorf("health: %d %s", code, body)
	}
}
