package monitor_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = swf.Secret("0123456789abcdef0123456789abcdef01234567")

// serve starts handler and returns a client of it.
func serve(t *testing.T, handler http.Handler, o monitor.Options) *monitor.Client {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	o.URL = srv.URL + o.URL
	c := monitor.New(o)
	t.Cleanup(c.Close)
	return c
}

// realMonitor is the API on SQLite, under a mount point as in production.
func realMonitor(t *testing.T) *monitor.Client {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "monitor.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	h := http.StripPrefix("/swf-monitor", api.New(api.Options{Store: s, Token: token}))
	return serve(t, h, monitor.Options{URL: "/swf-monitor/", Token: token})
}

func ok[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestAgentsLife(t *testing.T) {
	c, ctx := realMonitor(t), t.Context()
	if err := c.Healthy(ctx); err != nil {
		t.Fatal(err)
	}
	if n := ok(c.NextAgentID(ctx))(t); n != 1 {
		t.Errorf("agent id %d", n)
	}
	ns := "ns"
	for range 2 {
		for name, err := range map[string]error{
			"namespace": c.EnsureNamespace(ctx, ns, "ann", ""),
			"heartbeat": c.Heartbeat(ctx, swf.Heartbeat{InstanceName: "data-1", AgentType: "DATA", Status: swf.StatusOK,
				OperationalState: swf.OpReady, Namespace: &ns, PID: 7, Metadata: map[string]any{"k": "v"}}),
			"subscriber": c.RegisterSubscriber(ctx, "data-1-/topic/epictopic", "DATA agent"), // the second time it exists
			"log": c.PostLog(ctx, swf.LogEntry{AppName: "base_agent", InstanceName: "data-1", Timestamp: swf.At(time.Now()),
				Level: 20, LevelName: "INFO", Message: "hello", Module: "m", FuncName: "f"}),
		} {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	agent := ok(c.Agent(ctx, "data-1"))(t)
	if agent == nil || *agent.PID != 7 || *agent.Namespace != ns || string(agent.Metadata) != `{"k":"v"}` {
		t.Errorf("agent: %+v", agent)
	}
	if none := ok(c.Agent(ctx, "data-2"))(t); none != nil {
		t.Errorf("an agent that is not there: %+v", none)
	}
	if all := ok(c.Agents(ctx))(t); len(all) != 1 {
		t.Errorf("agents: %+v", all)
	}
	for namespace, want := range map[string]int{ns: 1, "other": 0} {
		if in := ok(c.AgentsIn(ctx, namespace))(t); len(in) != want {
			t.Errorf("agents in %s: %+v", namespace, in)
		}
	}
}

func TestWorkflowsLife(t *testing.T) {
	c, ctx := realMonitor(t), t.Context()
	if d := ok(c.FindDefinition(ctx, "w", "1"))(t); d != nil {
		t.Fatalf("a definition that is not there: %+v", d)
	}
	d := ok(c.CreateDefinition(ctx, swf.Definition{WorkflowName: "w", Version: "1", WorkflowType: "simulation", Definition: "text", CreatedBy: "ann"}))(t)
	if again := ok(c.FindDefinition(ctx, "w", "1"))(t); again == nil || again.ID != d.ID {
		t.Fatalf("found %+v, want %+v", again, d)
	}
	seq := ok(c.NextExecutionSequence(ctx, "w"))(t)
	id := swf.ExecutionID("w", "ann", int(seq))
	start := swf.At(time.Now().Truncate(time.Microsecond))
	made := ok(c.CreateExecution(ctx, swf.Execution{ExecutionID: id, WorkflowDefinition: d.ID, Status: swf.ExecutionRunning,
		ExecutedBy: "ann", StartTime: start, ParameterValues: json.RawMessage(`{"a":{"b":1}}`)}))(t)
	if !made.StartTime.Equal(start.Time) || made.EndTime != nil {
		t.Errorf("made %+v", made)
	}
	if running := ok(c.Executions(ctx, monitor.Filter{Status: "running", ExecutedBy: "ann"}))(t); len(running) != 1 {
		t.Errorf("running: %+v", running)
	}
	if err := c.PatchExecution(ctx, id, map[string]any{"status": "terminated", "end_time": nil}); err != nil {
		t.Fatal(err)
	}
	if e := ok(c.Execution(ctx, id))(t); e == nil || e.Status != "terminated" || e.EndTime == nil {
		t.Errorf("after the end: %+v", e)
	}
	if e := ok(c.Execution(ctx, "none"))(t); e != nil {
		t.Errorf("an execution that is not there: %+v", e)
	}
	err := c.PatchExecution(ctx, id, map[string]any{"status": "running"})
	var status *monitor.StatusError
	if !errors.As(err, &status) || status.Status != 400 || !swf.IsCode(err, swf.CodeInvalidArgument) {
		t.Errorf("back to running: %v", err)
	}
}

func TestRunsLife(t *testing.T) {
	c, ctx := realMonitor(t), t.Context()
	number := ok(c.NextRunNumber(ctx))(t)
	run := ok(c.CreateRun(ctx, swf.Run{RunNumber: number, StartTime: swf.At(time.Now())}))(t)
	if number != 100010 || run.RunID != 1 {
		t.Errorf("run %+v of number %d", run, number)
	}
	f := ok(c.CreateSTFFile(ctx, swf.STFFile{Run: run.RunID, STFFilename: "f1", Status: "registered", Metadata: json.RawMessage(`{"n":1}`)}))(t)
	if f.MachineState != "physics" || len(f.FileID) != 36 {
		t.Errorf("file %+v", f)
	}
	for name, err := range map[string]error{
		"file":      c.PatchSTFFile(ctx, f.FileID, map[string]any{"status": "processed"}),
		"run":       c.PatchRun(ctx, run.RunID, map[string]any{"end_time": swf.At(time.Now())}),
		"run state": c.CreateRunState(ctx, swf.RunState{RunNumber: number, Phase: "initializing", State: "imminent", TargetWorkerCount: 1}),
		"event":     c.PostStateEvent(ctx, swf.StateEvent{Timestamp: swf.At(time.Now()), RunNumber: number, EventType: "start_run", State: "run"}),
	} {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if err := c.PatchRunState(ctx, number, map[string]any{"slices_created": 3}); err != nil {
		t.Fatal(err)
	}
	if s := ok(c.RunState(ctx, number))(t); s == nil || s.SlicesCreated != 3 || s.StateChangedAt.IsZero() {
		t.Errorf("run state %+v", s)
	}
	if r := ok(c.RunByNumber(ctx, number))(t); r == nil || r.EndTime == nil {
		t.Errorf("run %+v", r)
	}
	if all := ok(c.Runs(ctx))(t); len(all) != 1 {
		t.Errorf("runs %+v", all)
	}
	for _, filter := range []monitor.FileFilter{{}, {RunNumber: number, Limit: 5}, {Filename: "f1", Status: "processed"}} {
		if files := ok(c.STFFiles(ctx, filter))(t); len(files) != 1 || files[0].FileID != f.FileID {
			t.Errorf("%+v: %+v", filter, files)
		}
	}
	if files := ok(c.STFFiles(ctx, monitor.FileFilter{RunNumber: 5}))(t); len(files) != 0 {
		t.Errorf("files of another run: %+v", files)
	}
}

// TestFailures: what a monitor that misbehaves looks like to the caller.
func TestFailures(t *testing.T) {
	says := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://elsewhere.example/")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	cases := []struct {
		name    string
		handler http.HandlerFunc
		status  int // of the *StatusError, 0: none
		code    swf.Code
	}{
		{"wrong token", says(403, `{"detail":"Invalid token."}`), 403, swf.CodeUnauthenticated},
		{"redirect to a login", says(302, ""), 302, swf.CodeMonitorUnavailable},
		{"gateway", says(502, "<html>"), 502, swf.CodeMonitorUnavailable},
		{"refusal", says(400, `{"x":["no"]}`), 400, swf.CodeInvalidArgument},
		{"HTML", says(200, "<html>"), 0, swf.CodeMonitorUnavailable},
		{"an object for a list", says(200, "{}"), 0, swf.CodeMonitorUnavailable},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("["))
		}, 0, swf.CodeMonitorUnavailable},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			for chunk := make([]byte, 1<<20); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, 0, swf.CodeMonitorUnavailable},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			client := serve(t, c.handler, monitor.Options{Token: token})
			_, err := client.Agents(t.Context())
			var status *monitor.StatusError
			if errors.As(err, &status) != (c.status != 0) || (status != nil && status.Status != c.status) || !swf.IsCode(err, c.code) {
				t.Fatalf("got %v (%T)", err, err)
			}
			if text := err.Error() + swf.AsError(err).Hint; strings.Contains(text, token.Reveal()) {
				t.Errorf("the error tells the token: %s", text)
			}
			if _, err := client.NextRunNumber(t.Context()); err == nil {
				t.Error("a number out of nothing")
			}
		})
	}
}

// TestConnectionsThatAreGivenUp has a monitor that answers once over each
// connection and closes it at the next request, as servers do by chance when
// one has been idle: heartbeats are sent anew, what is no repetition is not.
func TestConnectionsThatAreGivenUp(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if seen[r.RemoteAddr] {
			panic(http.ErrAbortHandler)
		}
		seen[r.RemoteAddr] = true
		if r.Header["Idempotency-Key"] != nil {
			t.Error("a header that is not of the contract")
		}
	}), monitor.Options{})
	for range 5 {
		if err := c.Heartbeat(t.Context(), swf.Heartbeat{InstanceName: "x"}); err != nil {
			t.Error(err)
		}
	}
	if err := c.PostLog(t.Context(), swf.LogEntry{}); err == nil {
		t.Error("a log record was sent twice")
	}
}

func TestNobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	c := monitor.New(monitor.Options{URL: "http://" + ln.Addr().String()})
	err = c.Healthy(t.Context())
	if !swf.IsCode(err, swf.CodeMonitorUnavailable) || swf.AsError(err).Hint == "" || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
	if err := monitor.New(monitor.Options{}).Healthy(t.Context()); !swf.IsCode(err, swf.CodeMonitorUnavailable) {
		t.Errorf("without an address: %v", err)
	}
}

func TestTimeout(t *testing.T) {
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := serve(t, hang, monitor.Options{Timeout: time.Millisecond})
	if err := c.Healthy(t.Context()); !swf.IsCode(err, swf.CodeMonitorUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Healthy(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestWhatIsSent holds the requests that a Django monitor would see.
func TestWhatIsSent(t *testing.T) {
	type request struct{ method, uri, auth, contentType string }
	got := make(chan request, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- request{r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Content-Type")}
		_, _ = w.Write([]byte(`{"run_number":1,"agent_id":1,"sequence":1,"status":"success"}`))
	})
	c := serve(t, h, monitor.Options{Token: token, URL: "/mount/"})
	ctx, auth := t.Context(), "Token "+token.Reveal()
	for _, want := range []struct {
		call func() error
		request
	}{
		{func() error { _, err := c.NextRunNumber(ctx); return err }, request{"POST", "/mount/api/state/next-run-number/", auth, ""}},
		{func() error { return c.PostLog(ctx, swf.LogEntry{}) }, request{"POST", "/mount/api/logs/", auth, "application/json"}},
		{func() error { return c.PatchExecution(ctx, "w-a.b/../c-1", nil) }, request{"PATCH", "/mount/api/workflow-executions/w-a.b%2F..%2Fc-1/", auth, "application/json"}},
	} {
		if err := want.call(); err != nil {
			t.Error(err)
		}
		if g := <-got; g != want.request {
			t.Errorf("sent %+v, want %+v", g, want.request)
		}
	}
}

func TestOptionsFromEnv(t *testing.T) {
	cases := []struct {
		url, http string
		want, log string
		code      swf.Code
	}{
		{"", "", "", "", swf.CodeMonitorUnavailable},
		{"https://h/m", "http://h:8002", "https://h/m", "http://h:8002", ""},
		{"", "http://h:8002", "http://h:8002", "http://h:8002", ""},
		{"https://h/m", "", "https://h/m", "https://h/m", ""},
		{"h:8002", "", "", "", swf.CodeEnvironment},
		{"http://h", "ftp://h", "", "", swf.CodeEnvironment},
	}
	for _, c := range cases {
		env := map[string]string{"SWF_MONITOR_URL": c.url, "SWF_MONITOR_HTTP_URL": c.http, "SWF_API_TOKEN": "t"}
		o, err := monitor.OptionsFromEnv(func(name string) string { return env[name] })
		if c.code != "" {
			if !swf.IsCode(err, c.code) {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if err != nil || o.URL != c.want || o.LogURL != c.log || o.Token != "t" {
			t.Errorf("%+v: %+v, %v", c, o, err)
		}
	}
}

// TestTokenOnTheWayOfLogs: the address for logs is plain HTTP in the Python
// system; a token must not be read on its way there.
func TestTokenOnTheWayOfLogs(t *testing.T) {
	var seen *http.Request
	c := monitor.New(monitor.Options{URL: "https://monitor.example", LogURL: "http://logs.example", Token: token,
		HTTP: &http.Client{Transport: roundTripper(func(r *http.Request) { seen = r })}})
	_ = c.PostLog(t.Context(), swf.LogEntry{})
	if seen == nil || seen.Header.Get("Authorization") != "" {
		t.Errorf("sent to %v with %q", seen.URL, seen.Header.Get("Authorization"))
	}
}

type roundTripper func(*http.Request)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r)
	return nil, errors.New("seen enough")
}
