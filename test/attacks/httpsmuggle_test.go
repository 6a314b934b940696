package attacks

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

func TestAttack13HeavyBodies(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	token := s.tokenOf(ann)
	keys := make([]string, 0, 60_000)
	for i := range cap(keys) {
		keys = append(keys, fmt.Sprintf(`"k%d":1`, i))
	}
	for name, body := range map[string]string{
		"9,000 deep":         `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + strings.Repeat(`{"a":`, 9000) + `1` + strings.Repeat("}", 9000) + "}",
		"arrays, 9,000 deep": `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}",
		"very many keys":     `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{` + strings.Join(keys, ",") + "}}",
		"never closed":       strings.Repeat(`{"a":`, 100_000),
	} {
		if resp, _ := (raw{token: token, body: body, legacy: true}).send(t, s); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
	if resp, _ := (raw{token: token, body: callBody(harm), header: map[string]string{"Content-Encoding": "gzip"}}).send(t, s); resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("compressed: %d", resp.StatusCode)
	}
	for name, length := range map[string]int64{"1 GiB": 1 << 30, "an endless chunk": -1} {
		for _, path := range []string{"/mcp", "/message?sessionId=x"} {
			sent := &endless{}
			status := upload(t, s, path, token, sent, length)
			if status != http.StatusRequestEntityTooLarge && status != 0 { // 0: cut off while sending
				t.Errorf("%s to %s: %d", name, path, status)
			}
			if n := sent.n.Load(); n > 16<<20 {
				t.Errorf("%s to %s: %d MiB were taken", name, path, n>>20)
			}
		}
	}
	s.untouched(t)
	s.goodClient(t)
}

// endless is a body without an end. The transport may read on after the answer.
type endless struct{ n atomic.Int64 }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	e.n.Add(int64(len(b)))
	return len(b), nil
}

// upload sends such a body and returns the answer's status; 0 where the
// connection was cut before one could be read.
func upload(t *testing.T, s *site, path, token string, body io.Reader, length int64) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, io.NopCloser(body))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = length
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := newHTTPClient(t).Do(req)
	if ctx.Err() != nil {
		t.Fatalf("%s takes and takes", path)
	}
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestAttack14Smuggling(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	call := callBody(harm)
	meta := call[strings.Index(call, `"_meta"`) : len(call)-2]
	for name, r := range map[string]raw{
		"METHOD":                 {body: strings.Replace(call, `"method"`, `"METHOD"`, 1)},
		"method and METHOD":      {body: `{"jsonrpc":"2.0","id":1,"method":"ping","METHOD":"tools/call","params":{"name":"` + harm + `"}}`},
		"method twice":           {body: strings.Replace(call, `"method"`, `"method":"ping","method"`, 1)},
		"a long s in params":     {body: strings.Replace(call, `"params"`, `"paramſ"`, 1)},
		"name twice":             {body: strings.Replace(call, `"name"`, `"name":"check_agent_manager","name"`, 1)},
		"name and NAME":          {body: strings.Replace(call, `"name"`, `"NAME":"check_agent_manager","name"`, 1)},
		"an escaped twin":        {body: strings.Replace(call, `"name"`, `"n\u0061me":"check_agent_manager","name"`, 1)},
		"NUL in a key":           {body: strings.Replace(call, `"arguments":{}`, `"arguments":{"a\u0000":1}`, 1)},
		"a raw NUL":              {body: strings.Replace(call, `"arguments"`, "\"\x00arguments\"", 1)},
		"something after it":     {body: call + call},
		"a bracket after it":     {body: call + "]"},
		"a batch":                {body: "[" + call + "]"},
		"no UTF-8":               {body: strings.Replace(call, `{}`, "{\"a\":\"\xff\xfe\"}", 1), legacy: true},
		"a byte order mark":      {body: "\xef\xbb\xbf" + call},
		"another method outside": {body: call, header: map[string]string{"Mcp-Method": "tools/list"}},
		"another tool outside":   {body: call, header: map[string]string{"Mcp-Name": "check_agent_manager"}},
		"another version":        {body: call, header: map[string]string{"Mcp-Protocol-Version": "2025-11-25"}},
		"no headers":             {body: call, legacy: true},
		"a huge id":              {body: strings.Replace(call, `"id":1`, `"id":9007199254740993`, 1)},
		"a long id":              {body: strings.Replace(call, `"id":1`, `"id":"`+strings.Repeat("x", 300)+`"`, 1)},
		"an id that is a list":   {body: strings.Replace(call, `"id":1`, `"id":[1]`, 1)},
		"another jsonrpc":        {body: strings.Replace(call, `"jsonrpc":"2.0"`, `"jsonrpc":"1.0"`, 1)},
		"a result too":           {body: strings.Replace(call, `"id":1`, `"id":1,"extra":{}`, 1)},
		"params that are a list": {body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[{"name":"` + harm + `",` + meta + `]}`},
	} {
		r.token = s.tokenOf(ann)
		resp, body := r.send(t, s)
		if resp.StatusCode != http.StatusBadRequest && !strings.Contains(body, `"error"`) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	s.untouched(t)
	s.goodClient(t)
}

// TestAttack16AnothersSession: whoever knows the id of a session that is not
// theirs is told that there is none.
func TestAttack16AnothersSession(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	resp, _ := raw{token: s.tokenOf(ann), body: initialize, legacy: true}.send(t, s)
	session := resp.Header.Get("Mcp-Session-Id")
	if session == "" {
		t.Fatal("no session")
	}
	stolen(t, s, session, bob)
	stolen(t, s, session, carol) // an operator's rights are about testbeds
	for _, changed := range []string{session + "x", session[:len(session)-1], strings.ToUpper(session), "../" + session} {
		if resp, _ := (raw{token: s.tokenOf(ann), session: changed, body: callLegacy(harm), legacy: true}).send(t, s); resp.StatusCode != http.StatusNotFound {
			t.Errorf("a changed id: %d", resp.StatusCode)
		}
	}
	s.untouched(t)
	if resp, body := (raw{token: s.tokenOf(ann), session: session, body: `{"jsonrpc":"2.0","id":2,"method":"ping"}`, legacy: true}).send(t, s); resp.StatusCode != http.StatusOK {
		t.Errorf("ann's own session: %d %s", resp.StatusCode, body)
	}
}

func callLegacy(tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":{}}}`, tool)
}

// stolen tries all that a session id could be good for. Attack 8 has command
// ids too; this is its part about sessions.
func stolen(t *testing.T, s *site, session, thief string) {
	t.Helper()
	cancel := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`
	for name, r := range map[string]raw{
		"calling":           {body: callLegacy(harm)},
		"cancelling":        {body: cancel},
		"answering":         {body: `{"jsonrpc":"2.0","id":1,"result":{"action":"accept"}}`},
		"reading":           {method: http.MethodGet},
		"deleting":          {method: http.MethodDelete},
		"speaking over SSE": {path: "/message?sessionId=" + session, body: callLegacy(harm)},
	} {
		r.token, r.legacy = s.tokenOf(thief), true
		if r.path == "" {
			r.session = session
		}
		if resp, body := r.send(t, s); resp.StatusCode != http.StatusNotFound || strings.Contains(body, ann) {
			t.Errorf("%s by %s: %d %s", name, thief, resp.StatusCode, body)
		}
	}
}

// TestAttack08StolenSSESession is the same for the stream of HTTP+SSE.
func TestAttack08StolenSSESession(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	c := dial(t, s, transports[2], "2025-11-25", ann)
	path := strings.TrimPrefix(c.wire.(*stream).endpoint, s.url)
	for _, thief := range []string{bob, carol} {
		if resp, body := (raw{path: path, token: s.tokenOf(thief), body: callLegacy(harm), legacy: true}).send(t, s); resp.StatusCode != http.StatusNotFound || strings.Contains(body, ann) {
			t.Errorf("%s: %d %s", thief, resp.StatusCode, body)
		}
	}
	s.untouched(t)
	if _, err := c.ask("ping", nil); err != nil {
		t.Errorf("ann's own stream: %v", err)
	}
}
