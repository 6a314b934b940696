package mcpserver

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/epic-swf/testbed/swf"
)

func TestLibraryClients(t *testing.T) {
	s, _ := newServer(t, nil)
	onEveryTransport(t, s, converse)
	t.Run("2026-07-28", func(t *testing.T) {
		st := serve(t, s, HTTPOptions{})
		list := modern(1, "tools/list", "")
		if code, body := st.status(t, list); code != http.StatusOK || !strings.Contains(body, "get_testbed_status") || !strings.Contains(body, `"ttlMs"`) {
			t.Errorf("tools/list: %d %s", code, body)
		}
		if code, body := st.status(t, modern(2, "tools/call", "start_user_testbed")); code != http.StatusOK || !strings.Contains(body, "issued by ann") {
			t.Errorf("tools/call: %d %s", code, body)
		}
	})
}

func TestASessionEndsWithItsDelete(t *testing.T) {
	s, _ := newServer(t, nil)
	st := serve(t, s, HTTPOptions{})
	session := st.session(t, "ann-token")
	if code, _ := st.status(t, req{method: "DELETE", session: session}); code != 200 {
		t.Errorf("DELETE: %d", code)
	}
	for _, m := range []string{"POST", "GET", "DELETE"} {
		if code, _ := st.status(t, req{method: m, session: session, body: rpc(1, "ping", "")}); code != 404 {
			t.Errorf("%s afterwards: %d", m, code)
		}
	}
}

func TestReplicasKnowEachOthersSessions(t *testing.T) {
	s, _ := newServer(t, nil)
	key := []byte("a key that replicas share")
	a, b, c := serve(t, s, HTTPOptions{SessionKey: key}), serve(t, s, HTTPOptions{SessionKey: key}), serve(t, s, HTTPOptions{})
	session := a.session(t, "ann-token")
	if code, _ := b.status(t, req{session: session, body: rpc(1, "tools/list", "")}); code != 200 {
		t.Errorf("a replica: %d", code)
	}
	if code, _ := c.status(t, req{session: session, body: rpc(1, "tools/list", "")}); code != 404 {
		t.Errorf("a stranger: %d", code)
	}
}

func TestWithoutTokensEverybodyIsTheOwner(t *testing.T) {
	s, _ := newServer(t, nil)
	st := serve(t, s, HTTPOptions{Anonymous: swf.Principal{Name: "owner"}})
	session := st.session(t, "none")
	if _, body := st.status(t, req{token: "none", session: session, body: callTool(1, "start_user_testbed")}); !strings.Contains(body, "issued by owner") {
		t.Error(body)
	}
}

// TestNobodyCancelsAnothersCall: requests without a session share an empty one
// in the library, whatever their user.
func TestNobodyCancelsAnothersCall(t *testing.T) {
	g := newGate()
	s, _ := newServer(t, g)
	st := serve(t, s, HTTPOptions{})
	done := make(chan string, 1)
	go func() {
		r := modern(7, "tools/call", "gate")
		_, body := st.status(t, r)
		done <- body
	}()
	await(t, g.entered, "the call begins")
	cancel := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	if code, _ := st.status(t, req{token: "bob-token", body: cancel, header: map[string]string{"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "notifications/cancelled"}}); code != 202 {
		t.Errorf("cancelled: %d", code)
	}
	bob := st.session(t, "bob-token")
	st.status(t, req{token: "bob-token", session: bob, body: `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`})
	close(g.open)
	if body := await(t, done, "the call is answered"); !strings.Contains(body, "through") || len(g.ended) != 0 {
		t.Errorf("the call was cut off: %s", body)
	}
}

func TestProgressOverHTTP(t *testing.T) {
	s, _ := newServer(t, nil)
	st := serve(t, s, HTTPOptions{PerSecond: -1})
	session := st.session(t, "ann-token")
	params := `{"name":"count","arguments":{},"_meta":{"progressToken":"p"}}`
	lost := 0
	for i := range 200 {
		_, body := st.status(t, req{session: session, body: rpc(i+1, "tools/call", params)})
		if strings.Count(body, "notifications/progress") != 3 || !strings.Contains(body, `"id":`) {
			lost++
		}
	}
	if lost > 2 { // the library's queue is shared; the result is what counts
		t.Errorf("%d of 200 calls lost progress", lost)
	}
	resp := st.do(t, req{session: session, body: rpc(1, "tools/call", params), header: map[string]string{"Accept": "application/json"}})
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("a client that takes JSON only got %s", ct)
	}
	if resp.Header.Get("X-Accel-Buffering") != "no" {
		t.Error("proxies may buffer the answer")
	}
}

func TestTooManySessionsAndStreams(t *testing.T) {
	s, _ := newServer(t, nil)
	st := serve(t, s, HTTPOptions{PerSecond: -1})
	first := st.session(t, "ann-token")
	for range sessionsPerUser - 1 {
		st.session(t, "ann-token")
	}
	resp := st.do(t, req{body: initialize})
	resp.Body.Close()
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one session too many: %d", resp.StatusCode)
	}
	bob := st.session(t, "bob-token")
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	for i := range streamsPerUser + 1 {
		resp := st.do(t, req{method: "GET", session: first, ctx: ctx})
		defer resp.Body.Close()
		if want := map[bool]int{true: 200, false: 429}[i < streamsPerUser]; resp.StatusCode != want {
			t.Errorf("stream %d: %d, want %d", i, resp.StatusCode, want)
		}
	}
	if code, _ := st.status(t, req{token: "bob-token", session: bob, body: rpc(1, "ping", "")}); code != 200 {
		t.Errorf("another user: %d", code)
	}
}

func TestTooManyRequests(t *testing.T) {
	s, _ := newServer(t, nil)
	st := serve(t, s, HTTPOptions{PerSecond: 0.001, Burst: 2})
	st.session(t, "ann-token")
	st.session(t, "ann-token")
	resp := st.do(t, req{body: initialize})
	resp.Body.Close()
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the third: %d", resp.StatusCode)
	}
	st.session(t, "bob-token")
}

// TestTooManyCalls: a principal's calls are bounded by their rate and by how
// many are under way, over every transport of HTTP; other principals' are not.
func TestTooManyCalls(t *testing.T) {
	g := newGate()
	s, _ := newServer(t, g)
	refused := func(t *testing.T, resp *http.Response) {
		t.Helper()
		defer resp.Body.Close()
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("one too many: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	}
	t.Run("rate", func(t *testing.T) {
		st := serve(t, s, HTTPOptions{Calls: CallLimits{PerSecond: 0.001, Burst: 3, AtOnce: 8}})
		session := st.session(t, "ann-token")
		for i := range 3 {
			if code, body := st.status(t, req{session: session, body: callTool(i, "count")}); code != 200 {
				t.Fatalf("call %d: %d %s", i, code, body)
			}
		}
		refused(t, st.do(t, req{session: session, body: callTool(9, "count")}))
		refused(t, st.do(t, modern(9, "tools/call", "count")))
		sse := st.do(t, req{method: "GET", path: "/sse"})
		defer sse.Body.Close()
		refused(t, st.do(t, req{path: await(t, events(sse.Body), "the endpoint"), body: callTool(9, "count")}))
		if code, body := st.status(t, modern(9, "tools/list", "")); code != 200 {
			t.Errorf("what is no call: %d %s", code, body)
		}
		bob := modern(9, "tools/call", "count")
		bob.token = "bob-token"
		if code, body := st.status(t, bob); code != 200 {
			t.Errorf("another user: %d %s", code, body)
		}
	})
	t.Run("at once", func(t *testing.T) {
		st := serve(t, s, HTTPOptions{Calls: CallLimits{PerSecond: 1e6, Burst: 1e6, AtOnce: 2}})
		done := make(chan int, 2)
		for range 2 {
			go func() {
				code, _ := st.status(t, modern(1, "tools/call", "gate"))
				done <- code
			}()
			await(t, g.entered, "the call begins")
		}
		refused(t, st.do(t, modern(2, "tools/call", "count")))
		close(g.open)
		for range 2 {
			if code := await(t, done, "an answer"); code != 200 {
				t.Errorf("a call under way: %d", code)
			}
		}
		if code, body := st.status(t, modern(3, "tools/call", "count")); code != 200 {
			t.Errorf("afterwards: %d %s", code, body)
		}
	})
}

// TestWhoOnlyLooks gets a challenge from HTTP itself where more is wanted, so
// that a client can ask for more rights.
func TestWhoOnlyLooks(t *testing.T) {
	s, c := newServer(t, nil)
	st := serve(t, s, HTTPOptions{})
	session := st.session(t, "vic-token")
	sse := st.do(t, req{method: "GET", path: "/sse", token: "vic-token"})
	defer sse.Body.Close()
	for name, r := range map[string]req{
		"http":       {session: session, body: callTool(1, "stop_user_testbed")},
		"sse":        {path: await(t, events(sse.Body), "the endpoint"), body: callTool(1, "stop_user_testbed")},
		"2026-07-28": modern(1, "tools/call", "stop_user_testbed"),
	} {
		r.token = "vic-token"
		resp := st.do(t, r)
		resp.Body.Close()
		if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 403 || !strings.Contains(got, `error="insufficient_scope"`) || !strings.Contains(got, "testbed:control") {
			t.Errorf("%s: %d %s", name, resp.StatusCode, got)
		}
	}
	if c.acted.Load() != 0 {
		t.Error("something was done")
	}
	look := modern(2, "tools/call", "check_agent_manager")
	look.token = "vic-token"
	if code, body := st.status(t, look); code != 200 {
		t.Errorf("looking: %d %s", code, body)
	}
}

// events reads a stream's data lines.
func events(r io.Reader) <-chan string {
	c := make(chan string, 1024)
	go func() {
		defer close(c)
		for sc := bufio.NewScanner(r); sc.Scan(); {
			if data, ok := strings.CutPrefix(sc.Text(), "data:"); ok {
				c <- strings.TrimSpace(data)
			}
		}
	}()
	return c
}

func TestSSE(t *testing.T) {
	s, _ := newServer(t, nil)
	st := serve(t, s, HTTPOptions{})
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	resp := st.do(t, req{method: "GET", path: "/sse", ctx: ctx})
	defer resp.Body.Close()
	stream := events(resp.Body)
	endpoint := await(t, stream, "the endpoint is told")
	if resp.Header.Get("Access-Control-Allow-Origin") != "" || resp.Header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("headers %v", resp.Header)
	}
	// A client of 2026-07-28 must learn that this transport is older.
	discover := modern(1, "server/discover", "")
	discover.path = endpoint
	if code, _ := st.status(t, discover); code != 202 {
		t.Fatalf("message: %d", code)
	}
	if answer := await(t, stream, "the answer"); strings.Contains(answer, `"2026-07-28"`) || !strings.Contains(answer, "2025-11-25") {
		t.Errorf("discovery: %s", answer)
	}
	if code, _ := st.status(t, req{path: endpoint, token: "bob-token", body: callTool(1, "stop_user_testbed")}); code != 404 {
		t.Errorf("another user: %d", code)
	}
	hangUp()
	for range stream { // until it ends
	}
	deadline := time.Now().Add(time.Minute)
	for code := 0; code != 404; {
		if time.Now().After(deadline) {
			t.Fatalf("the session outlives its stream: %d", code)
		}
		code, _ = st.status(t, req{path: endpoint, body: rpc(1, "ping", "")})
	}
}

// TestShutdown: streams end at once, a call under way is answered.
func TestShutdown(t *testing.T) {
	g := newGate()
	s, _ := newServer(t, g)
	st := serve(t, s, HTTPOptions{})
	session := st.session(t, "ann-token")
	get := st.do(t, req{method: "GET", session: session})
	defer get.Body.Close()
	sse := st.do(t, req{method: "GET", path: "/sse"})
	defer sse.Body.Close()
	getEvents, sseEvents := events(get.Body), events(sse.Body)
	endpoint := await(t, sseEvents, "the endpoint")
	st.status(t, req{path: endpoint, body: callTool(3, "gate")})
	await(t, g.entered, "the call over SSE begins")
	answer := make(chan string, 1)
	go func() {
		_, body := st.status(t, req{session: session, body: callTool(4, "gate")})
		answer <- body
	}()
	await(t, g.entered, "the call over HTTP begins")
	ended := make(chan error, 1)
	go func() { ended <- st.shutDown() }()
	await(t, g.ended, "the call over SSE ends, which nobody waits for")
	for range getEvents { // until it ends
	}
	close(g.open)
	if body := await(t, answer, "the call over HTTP is answered"); !strings.Contains(body, "through") {
		t.Errorf("answer %s", body)
	}
	if err := await(t, ended, "the server ends"); err != nil {
		t.Error(err)
	}
}

// TestAListenEndsWithTheServer uses a server that has something to listen to.
func TestAListenEndsWithTheServer(t *testing.T) {
	s, _ := newServer(t, nil)
	s.mcp.AddResource(mcp.Resource{URI: "test://x", Name: "x"}, nil)
	st := serve(t, s, HTTPOptions{})
	r := modern(1, "subscriptions/listen", "")
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatal(err)
	}
	m["params"].(map[string]any)["notifications"] = map[string]any{"resourcesListChanged": true}
	b, _ := json.Marshal(m)
	r.body = string(b)
	resp := st.do(t, r)
	defer resp.Body.Close()
	stream := events(resp.Body)
	await(t, stream, "the listen is acknowledged")
	if err := st.shutDown(); err != nil {
		t.Error(err)
	}
}

// TestASlowReaderIsCutOff: a client that opens a stream, asks for much and
// reads nothing holds nothing up for long.
func TestASlowReaderIsCutOff(t *testing.T) {
	s, _ := newServer(t, nil)
	st := serve(t, s, HTTPOptions{PerSecond: -1, WriteLimit: 200 * time.Millisecond})
	conn, err := net.Dial("tcp", strings.TrimPrefix(st.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /sse HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ann-token\r\nAccept: text/event-stream\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	endpoint := ""
	for endpoint == "" {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		endpoint, _ = strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !strings.HasPrefix(endpoint, "/message") {
			endpoint = ""
		}
	}
	deadline := time.Now().Add(time.Minute)
	for code := 0; code != 404; { // the stream's end makes its session unknown
		if time.Now().After(deadline) {
			t.Fatal("a reader that does not read was never cut off")
		}
		code, _ = st.status(t, req{path: endpoint, body: callTool(1, "big")})
	}
}
