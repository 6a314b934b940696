package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMeasuredCountsWhatIsAnswered(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	h := Measured(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/refused":
			w.WriteHeader(http.StatusTooManyRequests)
			w.WriteHeader(http.StatusOK) // too late, and not counted
		case "/stream":
			w.(http.Flusher).Flush()
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		case "/text":
			_, _ = w.Write([]byte("x"))
		}
	}), "test", r)
	for _, req := range []struct{ method, path string }{{"GET", "/refused"}, {"GET", "/stream"}, {"POST", "/text"}, {"DELETE", "/nothing"}, {"BREW", "/text"}} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(req.method, req.path, nil))
		if req.path == "/stream" && !w.Flushed {
			t.Error("a stream was not flushed")
		}
	}
	want := `# HELP swf_http_requests_total Answered requests; 401, 403, 413 and 429 are rejections.
# TYPE swf_http_requests_total counter
swf_http_requests_total{code="200",method="DELETE",server="test"} 1
swf_http_requests_total{code="200",method="GET",server="test"} 1
swf_http_requests_total{code="200",method="POST",server="test"} 1
swf_http_requests_total{code="200",method="other",server="test"} 1
swf_http_requests_total{code="429",method="GET",server="test"} 1
# HELP swf_http_requests_in_flight Requests under way, streams among them.
# TYPE swf_http_requests_in_flight gauge
swf_http_requests_in_flight{server="test"} 0
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "swf_http_requests_total", "swf_http_requests_in_flight"); err != nil {
		t.Error(err)
	}
	plain := http.NewServeMux()
	if Measured(plain, "test", nil) != http.Handler(plain) {
		t.Error("nobody asked, and yet it is measured")
	}
}
