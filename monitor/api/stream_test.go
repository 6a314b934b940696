package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
)

// reader follows the stream of a site.
type reader struct {
	t     *testing.T
	lines *bufio.Scanner
	close func()
}

func (s *site) follow(query string) *reader {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+"/api/messages/stream/"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Access-Control-Allow-Origin": "*"} {
		if got := resp.Header.Get(name); got != want || resp.StatusCode != 200 {
			s.t.Errorf("%d %s: %q", resp.StatusCode, name, got)
		}
	}
	r := &reader{t: s.t, lines: bufio.NewScanner(resp.Body), close: func() { cancel(); resp.Body.Close() }}
	r.lines.Buffer(nil, 1<<20)
	s.t.Cleanup(r.close)
	r.want("connected", "")
	return r
}

// next is the next event; "" at the end of the stream.
func (r *reader) next() (kind, data string) {
	for r.lines.Scan() {
		line := r.lines.Text()
		switch {
		case line == "" && kind != "":
			return kind, data
		case strings.HasPrefix(line, "event: "):
			kind = line[len("event: "):]
		case strings.HasPrefix(line, "data: "):
			data = line[len("data: "):]
		default:
			r.t.Errorf("a line that is no event's: %q", line)
		}
	}
	return "", ""
}

func (r *reader) want(kind, data string) {
	r.t.Helper()
	if k, d := r.next(); k != kind || (data != "" && d != data) {
		r.t.Errorf("event %q %q, want %q %q", k, d, kind, data)
	}
}

// TestStream: each follower gets what its filters want, in order.
func TestStream(t *testing.T) {
	hub := api.NewHub()
	s := newSiteWith(t, api.Options{Token: token, Hub: hub})
	all, some, run := s.follow(""), s.follow("?msg_types=stf_gen,%20end_run"), s.follow("?run_ids=100010&agents=data-1")
	say := func(body string) { hub.Publish(json.RawMessage(body)) }
	say(`{"msg_type": "stf_gen",
		"run_id": "100010"}`)
	say(`{"msg_type":"stf_ready","run_id":100010,"processed_by":"data-1"}`)
	say(`{"msg_type":"evil\ndata: x","sender":"data-1"}`)
	say(`[1]`)
	say(`{"msg_type":"end_run","run_id":"100011"}`)
	all.want("stf_gen", `{"msg_type":"stf_gen","run_id":"100010"}`)
	all.want("stf_ready", "")
	all.want("message", `{"msg_type":"evil\ndata: x","sender":"data-1"}`)
	all.want("end_run", "")
	some.want("stf_gen", "")
	some.want("end_run", "")
	run.want("stf_ready", "")

	status := s.must(200, "GET", "/api/messages/stream/status/", "")
	if status["connected_clients"] != 3.0 || len(status["client_ids"].([]any)) != 3 {
		t.Errorf("status %v", status)
	}
	filters := fmt.Sprint(status["client_filters"])
	if !strings.Contains(filters, "msg_types:[stf_gen end_run]") || !strings.Contains(filters, "agents:[data-1] run_ids:[100010]") {
		t.Errorf("filters %v", filters)
	}
	subscribers := s.list("/api/subscribers/")
	if len(subscribers) != 3 || subscribers[0]["delivery_type"] != "sse" || subscribers[0]["client_ip"] != "127.0.0.1" || subscribers[0]["is_active"] != true {
		t.Errorf("subscribers %v", subscribers)
	}
	hub.Close()
	for _, r := range []*reader{all, some, run} {
		r.want("", "")
	}
	for s.list("/api/subscribers/")[0]["is_active"] == true {
		time.Sleep(5 * time.Millisecond) // signed off just behind the end of the stream
	}
	last := s.list("/api/subscribers/")
	if last[2]["messages_sent"] != 4.0 && last[1]["messages_sent"] != 4.0 && last[0]["messages_sent"] != 4.0 {
		t.Errorf("signed off: %v", last)
	}
	if r := s.json("GET", "/api/messages/stream/", ""); r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Errorf("after Close: %d %s", r.status, r.body)
	}
}

// TestStreamSlowReader: who does not read is cut off, and holds up nobody.
func TestStreamSlowReader(t *testing.T) {
	hub := api.NewHub()
	s := newSiteWith(t, api.Options{Token: token, Hub: hub})
	slow, fast := s.follow("?run_ids=1"), s.follow("?run_ids=2")
	pad := strings.Repeat("x", 100_000)
	for range 600 { // more than sockets and buffers hold
		hub.Publish(json.RawMessage(`{"msg_type":"a","run_id":"1","pad":"` + pad + `"}`))
	}
	hub.Publish(json.RawMessage(`{"msg_type":"b","run_id":"2"}`))
	fast.want("b", "")
	if status := s.must(200, "GET", "/api/messages/stream/status/", ""); status["connected_clients"] != 1.0 {
		t.Errorf("status %v", status)
	}
	n := 0
	for kind, _ := slow.next(); kind != ""; kind, _ = slow.next() {
		n++
	}
	if n == 0 || n > 550 {
		t.Errorf("%d messages reached a reader that did not read", n)
	}
}

// TestStreamHeartbeat: a quiet stream says every 30 s that it is alive.
func TestStreamHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Open(context.Background(), store.Options{Path: filepath.Join(t.TempDir(), "monitor.db")})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		h := api.New(api.Options{Store: st})
		ctx, cancel := context.WithTimeout(context.Background(), 65*time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/api/messages/stream/", nil))
		if n := strings.Count(w.Body.String(), "event: heartbeat\ndata: {\"timestamp\":946684830.000000}"); n != 1 {
			t.Errorf("got %s", w.Body)
		}
		if n := strings.Count(w.Body.String(), "event: heartbeat"); n != 2 {
			t.Errorf("%d heartbeats", n)
		}
	})
}

// TestStreamIsBounded: no more than a hundred follow at once.
func TestStreamIsBounded(t *testing.T) {
	s := newSite(t, token)
	for range 100 {
		s.follow("")
	}
	s.json("GET", "/api/messages/stream/", "").want(t, 503, `{"detail":"Too many clients follow the stream. Try again."}`)
}
