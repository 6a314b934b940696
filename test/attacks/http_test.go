package attacks

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/mcpserver"
)

// raw is one HTTP request as no client would send it. Zero fields are what a
// good client of 2026-07-28 sends, without a session.
type raw struct {
	method, path, host, token, session, body string
	header                                   map[string]string
	legacy                                   bool // no headers of 2026-07-28
}

// harm is a call that must not get through.
const harm = "stop_user_testbed"

// callBody is a tools/call in the version 2026-07-28.
func callBody(tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`, tool)
}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"attack","version":"1"}}}`

// send returns the answer with its body, read.
func (r raw) send(t testing.TB, s *site) (*http.Response, string) {
	t.Helper()
	resp := r.open(t, s, newHTTPClient(t))
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // it may be cut off, which is fine
	return resp, string(body)
}

func (r raw) open(t testing.TB, s *site, c *http.Client) *http.Response {
	t.Helper()
	resp, err := r.try(t, s, c)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// try is open for whom the server may cut off.
func (r raw) try(t testing.TB, s *site, c *http.Client) (*http.Response, error) {
	t.Helper()
	if r.method == "" {
		r.method = http.MethodPost
	}
	if r.path == "" {
		r.path = "/mcp"
	}
	req, err := http.NewRequestWithContext(t.Context(), r.method, s.url+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	if r.method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		if !r.legacy {
			modernHeaders(req, "2026-07-28", []byte(r.body))
		}
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.session != "" {
		req.Header.Set("Mcp-Session-Id", r.session)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
		if v == "" {
			req.Header.Del(k)
		}
	}
	req.Host = r.host
	return c.Do(req)
}

// routes are all that the MCP server has, and some that it has not.
var routes = []string{"/mcp", "/sse", "/message?sessionId=x", "/health", "/", "/metrics", "/debug/pprof/", "/dashboard", "/mcp/", "/%6dcp"}

// untouched fails the test if any command went out to anybody.
func (s *site) untouched(t *testing.T) {
	t.Helper()
	for name := range s.users {
		if n := len(s.sent.to(name)); n != 0 {
			t.Errorf("%d commands were sent to %s", n, name)
		}
	}
}

// silent fails the test if what was logged or answered tells a secret.
func (s *site) silent(t *testing.T, answers ...string) {
	t.Helper()
	for name, u := range s.users {
		for _, text := range append(answers, s.log.String()) {
			if strings.Contains(text, u.token) {
				t.Errorf("the token of %s is told", name)
			}
		}
	}
}

// goodClient fails the test if ann is not served.
func (s *site) goodClient(t *testing.T) {
	t.Helper()
	if resp, body := (raw{token: s.tokenOf(ann), body: strings.Replace(callBody("x"), `"tools/call"`, `"tools/list"`, 1)}).send(t, s); resp.StatusCode != http.StatusOK || !strings.Contains(body, harm) {
		t.Errorf("the good client: %d %s", resp.StatusCode, body)
	}
}

func TestAttack06BadTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	good := s.tokenOf(ann)
	for name, authorization := range map[string]string{
		"none": "", "empty": "Bearer ", "scheme only": "Bearer", "basic": "Basic " + good, "token": "Token " + good, "two": "Bearer " + good + " " + good,
		"wrong": "Bearer " + good + "x", "shortened": "Bearer " + good[:len(good)-1], "another case": "Bearer " + strings.ToUpper(good),
		"alg none": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.", "with NUL": "Bearer " + good + "%00",
	} {
		for _, path := range []string{"/mcp", "/sse", "/message?sessionId=x"} {
			method := map[bool]string{true: http.MethodGet, false: http.MethodPost}[path == "/sse"]
			resp, body := raw{method: method, path: path, body: callBody(harm), header: map[string]string{"Authorization": authorization}}.send(t, s)
			if resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s on %s: %d, WWW-Authenticate %q", name, path, resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
			}
			s.silent(t, body)
		}
	}
	s.untouched(t)
	s.goodClient(t)
}

func TestAttack07TokenInTheURL(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	for _, name := range []string{"token", "access_token", "Access_Token", "api_key", "authorization", "bearer"} {
		for _, path := range []string{"/mcp", "/sse", "/message"} {
			for _, header := range []string{"", s.tokenOf(ann)} {
				method := map[bool]string{true: http.MethodGet, false: http.MethodPost}[path == "/sse"]
				resp, body := raw{method: method, path: path + "?" + name + "=" + s.tokenOf(ann), token: header, body: callBody(harm)}.send(t, s)
				if resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s in the query of %s: %d", name, path, resp.StatusCode)
				}
				s.silent(t, body)
			}
		}
	}
	s.untouched(t)
	s.goodClient(t)
}

// TestAttack07TokenInArguments: it is refused as what no tool takes, and told to
// nobody.
func TestAttack07TokenInArguments(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{wait: short})
	everyTransport(t, s, func(t *testing.T, connect func(string) *client) {
		a, err := connect(ann).try(t, harm, map[string]any{"token": s.tokenOf(ann)})
		if err == nil && !a.Failed {
			t.Errorf("taken: %+v", a)
		}
		s.silent(t, a.Raw, s.trail.String())
	})
	s.untouched(t)
}

func TestAttack09DNSRebinding(t *testing.T) {
	t.Parallel()
	// Behind a proxy the server has a further name, and only that one.
	s := newSite(t, siteOptions{http: mcpserver.HTTPOptions{Hosts: []string{"testbed.example"}}})
	for _, route := range routes {
		for _, host := range []string{"evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "testbed.example.evil.example", "192.0.2.1", "[2001:db8::1]"} {
			for _, method := range []string{"GET", "POST", "OPTIONS"} {
				resp, _ := raw{method: method, path: route, host: host, token: s.tokenOf(ann), body: callBody(harm),
					header: map[string]string{"X-Forwarded-Host": "testbed.example", "Forwarded": "host=localhost", "X-Forwarded-For": "127.0.0.1"}}.send(t, s)
				if resp.StatusCode != http.StatusForbidden {
					t.Errorf("%s %s for %s: %d", method, route, host, resp.StatusCode)
				}
			}
		}
	}
	s.untouched(t)
	if resp, _ := (raw{method: "GET", path: "/health", host: "testbed.example"}).send(t, s); resp.StatusCode != http.StatusOK {
		t.Errorf("its own name: %d", resp.StatusCode)
	}
}

func TestAttack10ForeignOrigin(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{http: mcpserver.HTTPOptions{Origins: []string{"https://ui.example"}}})
	for _, route := range routes {
		for _, origin := range []string{"https://evil.example", "http://ui.example", "https://ui.example.evil.example", "null", "file://", "http://localhost:1"} {
			for _, content := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
				resp, _ := raw{path: route, token: s.tokenOf(ann), body: callBody(harm), header: map[string]string{"Origin": origin, "Content-Type": content}}.send(t, s)
				if resp.StatusCode != http.StatusForbidden || resp.Header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s from %s to %s: %d", content, origin, route, resp.StatusCode)
				}
			}
		}
	}
	for _, content := range []string{"text/plain", "application/x-www-form-urlencoded", "", "application/json;", "text/json", "application/json, text/plain"} {
		resp, _ := raw{token: s.tokenOf(ann), body: callBody(harm), header: map[string]string{"Content-Type": content}}.send(t, s)
		if content != "application/json;" && resp.StatusCode != http.StatusUnsupportedMediaType {
			t.Errorf("content type %q: %d", content, resp.StatusCode)
		}
	}
	s.goodClient(t)
}

func TestAttack11Unauthenticated(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	for _, route := range routes {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
			resp, body := raw{method: method, path: route, body: callBody(harm)}.send(t, s)
			switch {
			case route == "/health" && method == "GET":
				if resp.StatusCode != http.StatusOK || strings.TrimSpace(body) != `{"status":"ok"}` {
					t.Errorf("health: %d %s", resp.StatusCode, body)
				}
			case resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusMethodNotAllowed:
				t.Errorf("%s %s: %d %s", method, route, resp.StatusCode, body)
			}
			if resp.Header.Get("Server") != "" || strings.Contains(body, "goroutine") {
				t.Errorf("%s %s tells too much", method, route)
			}
		}
	}
	s.untouched(t)
	s.goodClient(t)
}
