package dashboard_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

var everyPath = []string{"/", "/testbeds/ann", "/testbeds/nobody", "/executions", "/executions/stf_datataking-ann-0001", "/messages", "/logs", "/commands", "/live", "/nope",
	"/testbeds/ann/start", "/testbeds/ann/stop", "/testbeds/ann/run", "/executions/stf_datataking-ann-0001/stop", "/logout"}

// TestAttack11Dashboard: a stranger learns nothing, on no path, by no method.
func TestAttack11Dashboard(t *testing.T) {
	b := newBench(t)
	b.manager("ann")
	b.execution("stf_datataking-ann-0001", "ann")
	stale := &http.Cookie{Name: b.signIn("ann-token").cookie.Name, Value: "made-up"}
	for _, cookie := range []*http.Cookie{nil, stale} {
		for _, path := range everyPath {
			for _, method := range []string{"GET", "HEAD", "POST", "DELETE", "PUT", "OPTIONS"} {
				w := &browser{b: b, cookie: cookie}
				r := w.do(method, path, "", map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
				if r.status != http.StatusUnauthorized && r.status != http.StatusMethodNotAllowed {
					t.Errorf("%s %s: %d", method, path, r.status)
				}
				if strings.Contains(r.body, "workflow-runner") || strings.Contains(r.body, "torre") {
					t.Errorf("%s %s tells of the testbed", method, path)
				}
			}
		}
	}
	if len(b.hands.asked) != 0 {
		t.Errorf("a stranger had something done: %v", b.hands.asked)
	}
}

// TestAttack10Dashboard: a page of another site can have nothing done, whatever
// its browser sends along.
func TestAttack10Dashboard(t *testing.T) {
	b := newBench(t)
	w := b.signIn("ann-token")
	csrf := w.csrf()
	form := url.Values{"csrf": {csrf}}.Encode()
	for name, try := range map[string]struct {
		body   string
		header map[string]string
	}{
		"foreign origin":       {form, map[string]string{"Origin": "https://evil.example"}},
		"cross-site fetch":     {form, map[string]string{"Sec-Fetch-Site": "cross-site"}},
		"same-site fetch":      {form, map[string]string{"Sec-Fetch-Site": "same-site"}},
		"no token":             {"x=1", nil},
		"another token":        {"csrf=" + strings.Repeat("A", len(csrf)), nil},
		"JSON":                 {`{"csrf":"` + csrf + `"}`, map[string]string{"Content-Type": "application/json"}},
		"text/plain":           {form, map[string]string{"Content-Type": "text/plain"}},
		"token of another one": {url.Values{"csrf": {b.signIn("olga-token").csrf()}}.Encode(), nil},
		"too long":             {form + "&x=" + strings.Repeat("x", 1<<20), nil},
	} {
		r := w.do("POST", "/testbeds/ann/stop", try.body, try.header)
		if r.status != http.StatusForbidden && r.status != http.StatusUnsupportedMediaType && r.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d", name, r.status)
		}
	}
	if len(b.hands.asked) != 0 {
		t.Errorf("it was done: %v", b.hands.asked)
	}
	if r := w.post("/testbeds/ann/stop", url.Values{"csrf": {csrf}}); r.status != 200 || len(b.hands.asked) != 1 {
		t.Errorf("the page's own form: %d", r.status)
	}
}

// TestAttack17Dashboard: markup and escape sequences in names, messages and
// logs are text on the page.
func TestAttack17Dashboard(t *testing.T) {
	b := newBench(t)
	const evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[31m\x1b]0;owned\a\u202egnp\u200b"
	b.manager("ann")
	if _, _, err := b.store.Beat(t.Context(), store.Beat{Values: store.Record{"instance_name": "x-agent-ann-7", "agent_type": evil, "status": evil, "operational_state": evil,
		"namespace": evil, "hostname": evil, "description": evil}}); err != nil {
		t.Fatal(err)
	}
	content, _ := json.Marshal(map[string]any{"state": evil, "text": evil})
	b.execution("stf_datataking-ann-0001", "ann")
	b.insert(store.Messages, store.Record{"message_id": evil, "message_type": evil, "sender_agent": evil, "namespace": evil, "execution_id": evil, "run_id": evil,
		"message_content": json.RawMessage(content), "sent_at": time.Now().UTC(), "is_successful": true})
	b.insert(store.Messages, store.Record{"message_id": "m2", "message_type": "resume_run", "execution_id": "stf_datataking-ann-0001",
		"message_content": json.RawMessage(content), "sent_at": time.Now().UTC(), "is_successful": true})
	extra, _ := json.Marshal(map[string]any{"execution_id": "stf_datataking-ann-0001", "x": evil})
	b.insert(store.Logs, store.Record{"app_name": evil, "instance_name": evil, "funcname": evil, "module": evil, "lineno": int64(1), "process": int64(1), "thread": int64(1),
		"level": int64(40), "levelname": evil, "message": evil, "timestamp": time.Now().UTC(), "extra_data": json.RawMessage(extra)})
	b.hands.answer = string(mustJSON(map[string]any{"outcome": "failed", "message": evil, "error": swf.E("x", evil, evil), "command_id": evil, "execution_id": evil}))
	w := b.signIn("ann-token")
	bodies := map[string]string{"outcome": w.post("/testbeds/ann/start", url.Values{"csrf": {w.csrf()}, "config_name": {evil}}).body}
	for _, path := range append(everyPath[:8:8], "/messages?q="+url.QueryEscape(evil), "/logs?instance="+url.QueryEscape(evil), "/nope/"+url.PathEscape(evil)) {
		bodies[path] = w.get(path).body
	}
	for path, body := range bodies {
		for _, bad := range []string{"<script>alert", "<img", "onerror=alert(1)>\x1b", "\x1b", "\a", "\u202e", "\u200b"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %q in it", path, bad)
			}
		}
	}
	if !strings.Contains(bodies["/logs"], "␛[31m") {
		t.Error("an escape sequence is not made visible")
	}
}

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// TestEverythingAskedIsTheVisitors: what a page asks of a tool, it asks as who
// is signed in, for whom the page is about; the tools decide.
func TestEverythingAskedIsTheVisitors(t *testing.T) {
	b := newBench(t)
	w := b.signIn("ann-token")
	csrf := w.csrf()
	for path, want := range map[string]string{
		"/testbeds/bob/start":            `start_user_testbed {"config_name":"fast","username":"bob"}`,
		"/testbeds/bob/stop":             `stop_user_testbed {"confirm":false,"username":"bob"}`,
		"/testbeds/ann/run":              `start_workflow {"realtime":true,"stf_count":3,"username":"ann"}`,
		"/executions/stf-bob-0001/stop":  `stop_workflow {"execution_id":"stf-bob-0001"}`,
		"/executions/stf%2Fbob-001/stop": `stop_workflow {"execution_id":"stf/bob-001"}`,
	} {
		b.hands.asked = nil
		if r := w.post(path, url.Values{"csrf": {csrf}, "config_name": {"fast"}, "stf_count": {"3"}, "pace": {"real"}}); r.status != 200 || !strings.Contains(r.body, "id-1") {
			t.Errorf("%s: %d", path, r.status)
		}
		if len(b.hands.asked) != 1 || b.hands.asked[0].Who.Name != "ann" || b.hands.asked[0].Tool+" "+string(mustJSON(b.hands.asked[0].Args)) != want {
			t.Errorf("%s asked %+v", path, b.hands.asked)
		}
	}
	b.hands.asked = nil
	if r := w.post("/testbeds/ann/run", url.Values{"csrf": {csrf}, "stf_count": {"many"}}); !strings.Contains(r.body, "not a number") || len(b.hands.asked) != 0 {
		t.Error("a count that is none was asked for")
	}
	b.hands.answer = `{"outcome":"refused","error":{"code":"confirmation_required","message":"it would end a run"},"running_executions":["stf-ann-0002"]}`
	if r := w.post("/testbeds/ann/stop", url.Values{"csrf": {csrf}}); !strings.Contains(r.body, "stf-ann-0002") || !strings.Contains(r.body, `name="confirm" value="yes"`) {
		t.Error("what a stop would end is not asked about")
	}
}

func TestRolesSeeTheirButtons(t *testing.T) {
	b := newBench(t)
	b.manager("ann")
	for token, want := range map[string]bool{"ann-token": true, "olga-token": true, "vera-token": false} {
		if r := b.signIn(token).get("/testbeds/ann"); r.status != 200 || strings.Contains(r.body, `id="start"`) != want {
			t.Errorf("%s sees the buttons: %v", token, !want)
		}
	}
}

// TestLinkSignsInOnce: the second use of a link, an old session and a token
// that was taken back open nothing.
func TestLinkSignsInOnce(t *testing.T) {
	b := newBench(t)
	link := b.board.Link(swf.Principal{Name: "ann"})
	if r := (&browser{b: b}).do("GET", link, "", map[string]string{"Sec-Purpose": "prefetch"}); r.status != 200 {
		t.Errorf("a browser that only fetches ahead: %d", r.status)
	}
	w := &browser{b: b}
	if r := w.get(link); r.status != http.StatusSeeOther || r.header.Get("Location") != "/" {
		t.Fatalf("the link: %d", r.status)
	}
	if !w.cookie.HttpOnly || w.cookie.SameSite != http.SameSiteStrictMode {
		t.Errorf("the cookie: %v", w.cookie)
	}
	if r := w.get("/"); r.status != 200 {
		t.Errorf("signed in: %d", r.status)
	}
	if r := (&browser{b: b}).get(link); r.status != http.StatusUnauthorized {
		t.Errorf("the link again: %d", r.status)
	}
	gone := *w
	w.post("/logout", url.Values{"csrf": {w.csrf()}})
	if r := gone.get("/"); r.status != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", r.status)
	}
	other := b.signIn("ann-token")
	b.mu.Lock()
	b.revoked = true
	b.mu.Unlock()
	if r := other.get("/"); r.status != http.StatusUnauthorized {
		t.Errorf("with a token that was taken back: %d", r.status)
	}
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	b := newBench(t)
	for _, next := range []string{"//evil.example", "https://evil.example/", `/\evil.example`, "javascript:alert(1)", "/login?next=/", "/a\r\nSet-Cookie: x=1", ""} {
		r := (&browser{b: b}).post("/login", url.Values{"token": {"ann-token"}, "next": {next}})
		if got := r.header.Get("Location"); r.status != http.StatusSeeOther || got != "/" {
			t.Errorf("next %q leads to %q", next, got)
		}
	}
	for _, token := range []string{"", "wrong", "ann-token x"} {
		if r := (&browser{b: b}).post("/login", url.Values{"token": {token}}); r.status != http.StatusUnauthorized || len(r.header.Values("Set-Cookie")) != 0 {
			t.Errorf("token %q: %d", token, r.status)
		}
	}
}

// TestPagesLoadNothingForeign: the policy is on every answer, and no page
// names another host or has a script or a style in it.
func TestPagesLoadNothingForeign(t *testing.T) {
	b := newBench(t)
	b.manager("ann")
	b.execution("stf_datataking-ann-0001", "ann")
	w := b.signIn("ann-token")
	for _, path := range append(everyPath[:8:8], "/login", "/static/dashboard.css", "/static/dashboard.js") {
		r := w.get(path)
		if policy := r.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		for _, bad := range []string{"http://", "https://", "<style", " style=", "<script>", "onclick", "javascript:"} {
			if strings.Contains(r.body, bad) {
				t.Errorf("%s has %s in it", path, bad)
			}
		}
	}
}
