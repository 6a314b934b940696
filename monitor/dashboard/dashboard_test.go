package dashboard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/monitor/dashboard"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a dashboard over a real store, with a browser that is signed in by
// its token: ann's, olga's (an operator) or vera's (a viewer).
type bench struct {
	t     *testing.T
	url   string
	store *dashboard.Watched
	board *dashboard.Dashboard
	hands *hands

	mu      sync.Mutex
	revoked bool
}

// hands remember what was asked and answer what they are told to.
type hands struct {
	mu     sync.Mutex
	asked  []dashboard.Ask
	answer string
}

func (h *hands) Call(_ context.Context, a dashboard.Ask) json.RawMessage {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, a)
	return json.RawMessage(h.answer)
}

func (h *hands) Configs(string) []string {
	return []string{"testbed.toml", "fast_processing_default.toml"}
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "m.db")})
	if err != nil {
		t.Fatal(err)
	}
	feed := new(dashboard.Feed)
	b := &bench{t: t, store: feed.Watch(s), hands: &hands{answer: `{"outcome":"succeeded","message":"2 of 2 programs are RUNNING","command_id":"id-1"}`}}
	b.board = dashboard.New(dashboard.Options{Store: b.store, Feed: feed, Lookup: b.lookup, Control: b.hands})
	server := httptest.NewServer(b.board)
	b.url = server.URL
	t.Cleanup(func() {
		feed.Close()
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) lookup(token string) (swf.Principal, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := map[string]swf.Principal{
		"ann-token": {Name: "ann"}, "olga-token": {Name: "olga", Operator: true}, "vera-token": {Name: "vera", ReadOnly: true},
	}[token]
	return p, ok && !b.revoked
}

// browser keeps cookies and follows no redirect.
type browser struct {
	b      *bench
	cookie *http.Cookie
}

func (b *bench) signIn(token string) *browser {
	b.t.Helper()
	w := &browser{b: b}
	r := w.post("/login", url.Values{"token": {token}, "next": {"/logs"}})
	if r.status != http.StatusSeeOther || r.header.Get("Location") != "/logs" || w.cookie == nil {
		b.t.Fatalf("sign-in: %d %s", r.status, r.body)
	}
	return w
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (w *browser) do(method, path, body string, header map[string]string) answer {
	w.b.t.Helper()
	req, err := http.NewRequestWithContext(w.b.t.Context(), method, w.b.url+path, strings.NewReader(body))
	if err != nil {
		w.b.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	if w.cookie != nil {
		req.AddCookie(w.cookie)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		w.b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.b.t.Fatal(err)
	}
	for _, c := range resp.Cookies() {
		w.cookie = c
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func (w *browser) get(path string) answer { return w.do("GET", path, "", nil) }
func (w *browser) post(path string, form url.Values) answer {
	return w.do("POST", path, form.Encode(), nil)
}

var csrfRE = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

func (w *browser) csrf() string {
	w.b.t.Helper()
	m := csrfRE.FindStringSubmatch(w.get("/").body)
	if m == nil {
		w.b.t.Fatal("no form on the page")
	}
	return m[1]
}

// insert adds a record to the store.
func (b *bench) insert(t *store.Table, r store.Record) {
	b.t.Helper()
	if _, err := b.store.Insert(b.t.Context(), t, r); err != nil {
		b.t.Fatal(err)
	}
}

// manager has the manager of a user report, with one program.
func (b *bench) manager(user string) {
	b.t.Helper()
	_, _, err := b.store.Beat(b.t.Context(), store.Beat{Values: store.Record{
		"instance_name": swf.ManagerInstance(user), "agent_type": swf.AgentTypeManager, "status": "OK", "operational_state": "READY", "namespace": "torre",
		"metadata": json.RawMessage(`{"protocol":2,"state":"running","config":"testbed.toml","programs":[{"name":"workflow-runner","state":"RUNNING","pid":7,"since":"2026-01-01T00:00:00Z","restarts":3}]}`),
	}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// execution adds one with some of its messages.
func (b *bench) execution(id, user string) {
	b.t.Helper()
	start := time.Now().Add(-20 * time.Second).UTC()
	definition, err := b.store.Insert(b.t.Context(), store.Definitions, store.Record{"workflow_name": id, "version": "1", "workflow_type": "simulation", "definition": "", "created_by": user})
	if err != nil {
		b.t.Fatal(err)
	}
	b.insert(store.Executions, store.Record{"execution_id": id, "namespace": "torre", "status": "running", "start_time": start, "executed_by": user, "workflow_definition": definition["id"],
		"parameter_values": json.RawMessage(`{"workflow":{"name":"stf_datataking"},"daq_state_machine":{"physics_period_count":1},"stf_datataking":{"stf_count":10,"physics_period_count":2}}`)})
	for i, kind := range []string{swf.MsgRunImminent, swf.MsgStartRun, swf.MsgSTFGen, swf.MsgSTFGen, swf.MsgSTFGen, swf.MsgPauseRun} {
		b.insert(store.Messages, store.Record{"message_id": id + kind + string(rune('a'+i)), "message_type": kind, "execution_id": id, "sent_at": start.Add(time.Duration(i) * 2 * time.Second),
			"message_content": json.RawMessage(`{"msg_type":"` + kind + `","state":"run","substate":"physics"}`), "is_successful": true})
	}
}

// events reads the names of server-sent events.
func events(r io.Reader) <-chan string {
	found := make(chan string)
	go func() {
		defer close(found)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				found <- name
			}
		}
	}()
	return found
}
