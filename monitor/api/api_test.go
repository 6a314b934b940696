package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/test/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "0123456789abcdef0123456789abcdef01234567"

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// site is a monitor over HTTP, on a store in a file of its own.
type site struct {
	t     *testing.T
	url   string
	store *store.Store
	clock *clock
}

func newSite(t *testing.T, key swf.Secret) *site {
	t.Helper()
	return newSiteWith(t, api.Options{Token: key})
}

// newSiteWith is newSite with more to say of the API.
func newSiteWith(t *testing.T, o api.Options) *site {
	t.Helper()
	c := newClock()
	at := store.Options{Now: c.Now}
	if cluster != nil {
		at.DSN = swf.Secret(cluster.Database(t))
	} else {
		at.Path = filepath.Join(t.TempDir(), "monitor.db")
	}
	s, err := store.Open(context.Background(), at)
	if err != nil {
		t.Fatal(err)
	}
	if o.Hub == nil {
		o.Hub = api.NewHub()
	}
	o.Store, o.Now = s, c.Now
	srv := httptest.NewServer(api.New(o))
	t.Cleanup(func() {
		o.Hub.Close()
		srv.Close()
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &site{t: t, url: srv.URL, store: s, clock: c}
}

// cluster is the PostgreSQL on which sites are made; nil: on SQLite.
var cluster *postgres.Cluster

// TestOverPostgres runs the contract over PostgreSQL.
func TestOverPostgres(t *testing.T) {
	cluster = postgres.Start(t)
	t.Cleanup(func() { cluster = nil })
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"objects", TestObjects}, {"stf files", TestSTFFiles}, {"filters", TestFilters}, {"detail", TestDetail},
		{"errors", TestErrors}, {"hostile bodies", TestHostileBodies}, {"permissions", TestPermissions}, {"root", TestRoot},
		{"pipeline objects", TestPipelineObjects}, {"pipeline errors", TestPipelineErrors}, {"slices", TestSlices},
		{"fastmon files", TestFastMonFiles}, {"extensions", TestListExtensions}, {"ai memory", TestAIMemory}, {"stream", TestStream},
		{"execution ends", TestExecutionEnds}, {"allocators", TestAllocators}, {"namespaces", TestNamespaces}, {"log summary", TestLogSummary},
		{"bounds", TestListsAreBounded}, {"heartbeat", TestHeartbeat}, {"long heartbeat", TestHeartbeatTooLong},
		{"late heartbeat", TestLateHeartbeat}, {"stale agents", TestStaleAgentsExit}, {"health", TestHealth},
		{"run states", TestRunStates}, {"hostile queries", TestHostileQueries},
	} {
		t.Run(c.name, c.test)
	}
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

// send makes one request; auth is the Authorization header.
func (s *site) send(method, path, auth, contentType, body string) reply {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// json makes a request with the token and a JSON body.
func (s *site) json(method, path, body string) reply {
	s.t.Helper()
	return s.send(method, path, "Token "+token, "application/json", body)
}

// must is json that expects a status and returns the object that came back.
func (s *site) must(status int, method, path, body string) map[string]any {
	s.t.Helper()
	r := s.json(method, path, body)
	if r.status != status {
		s.t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, r.status, r.body, status)
	}
	var object map[string]any
	if r.body != "" {
		if err := json.Unmarshal([]byte(r.body), &object); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, r.body)
		}
	}
	return object
}

// list is a GET that expects a bare array.
func (s *site) list(path string) []map[string]any {
	s.t.Helper()
	r := s.json("GET", path, "")
	var items []map[string]any
	if r.status != 200 {
		s.t.Fatalf("GET %s: %d %s", path, r.status, r.body)
	}
	if err := json.Unmarshal([]byte(r.body), &items); err != nil {
		s.t.Fatalf("GET %s is no bare array: %v in %.200s", path, err, r.body)
	}
	return items
}

// want compares a reply's status and whole body.
func (r reply) want(t *testing.T, status int, body string) {
	t.Helper()
	if r.status != status || r.body != body {
		t.Errorf("got %d %s\nwant %d %s", r.status, r.body, status, body)
	}
}
