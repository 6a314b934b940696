package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
)

// BenchmarkHeartbeat is one heartbeat of a thousand managers, over HTTP into
// SQLite.
func BenchmarkHeartbeat(b *testing.B) {
	s, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "monitor.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	srv := httptest.NewServer(api.New(api.Options{Store: s}))
	defer srv.Close()
	defer http.DefaultClient.CloseIdleConnections()
	n := 0
	for b.Loop() {
		n++
		body := fmt.Sprintf(`{"instance_name":"agent-manager-u%d","agent_type":"agent_manager","status":"OK","operational_state":"READY","namespace":"n","metadata":{"instance":"x","seq":%d}}`, n%1000, n)
		resp, err := http.Post(srv.URL+"/api/systemagents/heartbeat/", "application/json", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode > 201 {
			b.Fatal(resp.Status)
		}
	}
}
