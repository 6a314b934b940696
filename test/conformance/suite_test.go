package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/mcpserver"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
	"github.com/epic-swf/testbed/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is when something hangs; it is no verdict on speed.
const limit = 10 * time.Minute

// TestConformance runs every scenario of a revision's requirements. The
// suite's exit code counts the scored ones only: extensions are not.
func TestConformance(t *testing.T) {
	node, modules := tool(t, "SWF_TEST_NODE", "Node 22"), tool(t, "SWF_TEST_NODE_MODULES", "the conformance suite")
	suite := filepath.Join(modules, "@modelcontextprotocol", "conformance", "dist", "index.js")
	for _, revision := range []string{"2025-11-25", "2026-07-28"} {
		t.Run(revision, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			results := t.TempDir()
			cmd := exec.CommandContext(ctx, node, suite, "server", "--url", serve(t), "--requirements", revision, "--output-dir", results)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NO_COLOR=1"}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, summary(out), failures(results))
			}
			t.Log(summary(out))
		})
	}
}

// summary is the end of what the suite says.
func summary(out []byte) string {
	text := strings.TrimSpace(string(out))
	if i := strings.LastIndex(text, "=== SUMMARY ==="); i >= 0 {
		text = text[i:]
	}
	return text
}

// failures are the checks that did not pass, scored or not.
func failures(results string) string {
	var b strings.Builder
	files, _ := filepath.Glob(filepath.Join(results, "*", "checks.json"))
	for _, path := range files {
		text, err := os.ReadFile(path)
		var checks []struct {
			ID, Status, ErrorMessage string
			Details                  json.RawMessage
		}
		if err != nil || json.Unmarshal(text, &checks) != nil {
			continue
		}
		for _, c := range checks {
			if c.Status == "FAILURE" && !strings.Contains(path, "-tasks-") {
				fmt.Fprintf(&b, "%s: %s %s\n", c.ID, c.ErrorMessage, c.Details)
			}
		}
	}
	return b.String()
}

// tool is what the set-up script puts into the environment.
func tool(t *testing.T, name, what string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not set, so %s is missing: scripts/setup.sh test", name, what)
		}
		t.Skipf("%s is not set: run by scripts/setup.sh test", name)
	}
	return value
}

// nobody is a Commander of users without managers.
type nobody struct{}

func (nobody) Ping(context.Context, string) (control.Pong, error) {
	return control.Pong{}, swf.E(swf.CodeNoManager, "no manager", "start one")
}

func (nobody) Ask(context.Context, control.Command, func(control.Reply)) (control.Reply, error) {
	return control.Reply{}, swf.E(swf.CodeNoManager, "no manager", "start one")
}

const token = "the-token-of-the-suite"

// serve runs our server with its fixtures and returns the URL to test. The
// suite cannot send a token, so it is added here.
func serve(t *testing.T) string {
	t.Helper()
	// Our own resources are left out: the suite reads the first it finds, and
	// those show what a monitor knows.
	set := tools.New(tools.Options{Commander: nobody{}})
	s, err := mcpserver.New(mcpserver.Options{Tools: set.Tools(), Prompts: set.Prompts(), Complete: set.Complete, Extend: fixtures})
	if err != nil {
		t.Fatal(err)
	}
	asked := askers{opened: make(map[string]func()), asks: make(map[string]context.Context)}
	h := s.HTTP(mcpserver.HTTPOptions{PerSecond: -1, Lookup: func(given string) (swf.Principal, bool) {
		return swf.Principal{Name: "ann"}, given == token
	}})
	return start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+token)
		asked.listening(requiringCapability(h)).ServeHTTP(w, r)
	}), h.Close) + "/mcp"
}

// askers are the sessions in which a tool wants something of the client that
// the library can only say on the stream of a GET. In any other session that
// stream is not opened: the library would send the calls' notifications there
// as well, and two connections keep no order. The server proper never says
// anything on it.
type askers struct {
	mu     sync.Mutex
	opened map[string]func()
	asks   map[string]context.Context
}

// session returns what ends once that session asks, and what ends it.
func (a *askers) session(id string) (asks context.Context, open func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asks[id] == nil {
		a.asks[id], a.opened[id] = context.WithCancel(context.Background())
	}
	return a.asks[id], a.opened[id]
}

// listening has a GET wait until its session asks.
func (a *askers) listening(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session := r.Header.Get("Mcp-Session-Id")
		asks, open := a.session(session)
		switch {
		case r.Method == http.MethodGet && session != "":
			select {
			case <-asks.Done():
			case <-r.Context().Done():
				return
			}
		case r.Method == http.MethodPost && toolOf(r) == "test_sampling":
			open()
		}
		next.ServeHTTP(w, r)
	})
}

// toolOf is the tool that a request calls, if any. The body can be read again.
func toolOf(r *http.Request) string {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var m struct{ Params struct{ Name string } }
	_ = json.Unmarshal(body, &m) // the server itself says what is wrong
	return m.Params.Name
}

func start(t *testing.T, h http.Handler, before func()) string {
	t.Helper()
	ln, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- (&web.Server{Listener: ln, Handler: h, BeforeShutdown: before}).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String()
}

// requiringCapability answers for the one fixture that needs something of the
// client that none of our tools does. A handler of the library cannot choose
// that error.
func requiringCapability(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var m struct {
			ID     json.RawMessage
			Params struct {
				Name string
				Meta map[string]json.RawMessage `json:"_meta"`
			}
		}
		_ = json.Unmarshal(body, &m) // the server itself says what is wrong
		if m.Params.Name != "test_missing_capability" || bytes.Contains(m.Params.Meta["io.modelcontextprotocol/clientCapabilities"], []byte("sampling")) {
			next.ServeHTTP(w, r)
			return
		}
		web.WriteJSON(w, http.StatusBadRequest, map[string]any{"jsonrpc": "2.0", "id": m.ID, "error": map[string]any{
			"code": -32021, "message": "the client does not declare sampling", "data": map[string]any{"requiredCapabilities": map[string]any{"sampling": map[string]any{}}}}})
	})
}
