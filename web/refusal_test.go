package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

func TestRefusals(t *testing.T) {
	var all []web.Refusal
	limit := web.LimitBody(hello, 1)
	h := web.Refusals(web.Bearer(limit, func(token string) (swf.Principal, bool) { return swf.Principal{Name: "ann"}, token == "good" }), func(r web.Refusal) { all = append(all, r) })
	ask := func(token, encoding string) {
		r := httptest.NewRequest(http.MethodPost, "/mcp?secret=x", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Encoding", encoding)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	ask("good", "")
	if len(all) != 0 {
		t.Errorf("a good request: %+v", all)
	}
	ask("bad", "")
	ask("good", "gzip")
	want := []web.Refusal{{Address: "192.0.2.1", Method: "POST", Path: "/mcp", Status: 401}, {Who: "ann", Address: "192.0.2.1", Method: "POST", Path: "/mcp", Status: 415}}
	if len(all) != 2 || all[0] != want[0] || all[1] != want[1] {
		t.Errorf("%+v", all)
	}
	for range 1000 {
		ask("bad", "")
	}
	if len(all) > 100 {
		t.Errorf("a flood is told %d times", len(all))
	}
}
