package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p, _ := web.PrincipalFrom(r.Context())
	fmt.Fprintf(w, "hello %s%s", p.Name, body)
})

func TestListen(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "[::1]:0"} {
		ln, err := web.Listen(addr)
		if err != nil {
			if addr == "[::1]:0" {
				t.Logf("no IPv6 here: %v", err)
				continue
			}
			t.Fatalf("%s: %v", addr, err)
		}
		if _, err := web.Listen(ln.Addr().String()); !swf.IsCode(err, swf.CodeEnvironment) {
			t.Errorf("a port that is taken: %v", err)
		}
		ln.Close()
	}
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "nonsense", ""} {
		ln, err := web.Listen(addr)
		if !swf.IsCode(err, swf.CodeEnvironment) || swf.AsError(err).Hint == "" {
			t.Errorf("%q: %v", addr, err)
		}
		if ln != nil {
			ln.Close()
		}
	}
	ln, err := web.Listen(":0", web.AllowAnyAddress())
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}

func TestGuard(t *testing.T) {
	h := web.Guard(hello, web.GuardOptions{Hosts: []string{"Testbed.example", "other.example:8443"}, Origins: []string{"https://ui.example"}})
	cases := []struct {
		host    string
		origins []string
		status  int
	}{
		{"127.0.0.1:8002", nil, 200},
		{"localhost", nil, 200},
		{"LOCALHOST:1", nil, 200},
		{"[::1]:8002", nil, 200},
		{"127.9.9.9:1", nil, 200},
		{"testbed.example:99", nil, 200},
		{"other.example:8443", nil, 200},
		{"other.example", nil, 403},
		{"evil.example", nil, 403},
		{"localhost.evil.example", nil, 403},
		{"localhost.", nil, 403},
		{"192.168.0.1", nil, 403},
		{"", nil, 403},
		{"127.0.0.1:8002", []string{"http://127.0.0.1:8002"}, 200},
		{"127.0.0.1:8002", []string{"https://ui.example"}, 200},
		{"127.0.0.1:8002", []string{"http://127.0.0.1:9999"}, 403},
		{"127.0.0.1:8002", []string{"http://evil.example"}, 403},
		{"127.0.0.1:8002", []string{"http://127.0.0.1:8002@evil.example"}, 403},
		{"127.0.0.1:8002", []string{"null"}, 403},
		{"127.0.0.1:8002", []string{""}, 403},
		{"127.0.0.1:8002", []string{"http://127.0.0.1:8002", "http://evil.example"}, 403},
	}
	for _, c := range cases {
		for _, method := range []string{"GET", "POST", "OPTIONS", "DELETE"} {
			r := httptest.NewRequest(method, "/", nil)
			r.Host = c.host
			r.Header.Set("X-Forwarded-Host", "localhost")
			if c.origins != nil {
				r.Header["Origin"] = c.origins
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("%s with Host %q, Origin %q: %d, want %d", method, c.host, c.origins, w.Code, c.status)
			}
		}
	}
}

func TestBearer(t *testing.T) {
	const token = "s3cret"
	lookup := func(given string) (swf.Principal, bool) { return swf.Principal{Name: "ann"}, given == token }
	cases := []struct {
		url    string
		auth   []string
		status int
		body   string
	}{
		{"/", []string{"Bearer s3cret"}, 200, "hello ann"},
		{"/", []string{"bearer s3cret"}, 200, "hello ann"},
		{"/?q=1", []string{"Bearer s3cret"}, 200, "hello ann"},
		{"/", nil, 401, ""},
		{"/", []string{""}, 401, ""},
		{"/", []string{"Bearer"}, 401, ""},
		{"/", []string{"Bearer "}, 401, ""},
		{"/", []string{"Bearer s3cret x"}, 401, ""},
		{"/", []string{"Bearer S3CRET"}, 401, ""},
		{"/", []string{"Token s3cret"}, 401, ""},
		{"/", []string{"Basic s3cret"}, 401, ""},
		{"/", []string{"Bearer s3cret", "Bearer s3cret"}, 401, ""},
		{"/?access_token=s3cret", nil, 401, ""},
		{"/?Token=s3cret", []string{"Bearer s3cret"}, 401, ""},
	}
	for _, c := range cases {
		for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS"} {
			r := httptest.NewRequest(method, c.url, nil)
			r.Header["Authorization"] = c.auth
			w := httptest.NewRecorder()
			web.Bearer(hello, lookup).ServeHTTP(w, r)
			if w.Code != c.status || (c.body != "" && w.Body.String() != c.body) {
				t.Errorf("%s %s with %q: %d %s", method, c.url, c.auth, w.Code, w.Body)
			}
			if got := w.Header().Get("WWW-Authenticate"); (c.status == 401) != strings.HasPrefix(got, "Bearer") {
				t.Errorf("%s with %q: WWW-Authenticate %q", c.url, c.auth, got)
			}
			if strings.Contains(w.Body.String(), token) {
				t.Errorf("the answer tells the token")
			}
		}
	}
	w := httptest.NewRecorder()
	web.Bearer(hello, nil).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 200 {
		t.Errorf("without a lookup: %d", w.Code)
	}
}

func TestLimitBody(t *testing.T) {
	h := web.LimitBody(hello, 10)
	cases := []struct {
		body     io.Reader
		encoding string
		status   int
		want     string
	}{
		{nil, "", 200, "hello "},
		{strings.NewReader("0123456789"), "", 200, "hello 0123456789"},
		{strings.NewReader("0123456789a"), "", 413, ""},
		{io.MultiReader(strings.NewReader("0123456789")), "", 200, "hello 0123456789"}, // chunked
		{io.MultiReader(strings.NewReader("0123456789a")), "", 413, ""},
		{endless{}, "", 413, ""},
		{strings.NewReader("x"), "gzip", 415, ""},
	}
	for i, c := range cases {
		r := httptest.NewRequest("POST", "/", c.body)
		r.Header.Set("Content-Encoding", c.encoding)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || (c.want != "" && w.Body.String() != c.want) {
			t.Errorf("case %d: %d %s", i, w.Code, w.Body)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestRateLimiter(t *testing.T) {
	l := web.NewRateLimiter(0.001, 2, 2)
	h := l.Handler(hello)
	call := func(name string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/", nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(web.WithPrincipal(r.Context(), swf.Principal{Name: name})))
		return w
	}
	for i, want := range []int{200, 200, 429, 429} {
		w := call("ann")
		if w.Code != want || (want == 429) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("ann's call %d: %d, Retry-After %q", i, w.Code, w.Header().Get("Retry-After"))
		}
	}
	if w := call("bob"); w.Code != 200 {
		t.Errorf("bob pays for ann: %d", w.Code)
	}
	for n := range 1000 {
		if ok, _ := l.Allow(fmt.Sprint("key", n)); !ok {
			t.Fatal("a new key is refused")
		}
	}
}

// run serves h until the test ends or stop is called.
func run(t *testing.T, s *web.Server) (addr string, stop func() error) {
	t.Helper()
	ln, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Listener = ln
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return ln.Addr().String(), stop
}

func get(addr string) (int, string, error) {
	resp, err := http.Get("http://" + addr)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func TestServerDrains(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	addr, stop := run(t, &web.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		_, _ = w.Write([]byte("done"))
	}), BeforeShutdown: func() { close(leave) }})
	answered := make(chan string)
	go func() { _, body, err := get(addr); answered <- fmt.Sprint(body, err) }()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	if got := <-answered; got != "done<nil>" {
		t.Errorf("the request in flight got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, _, err := get(addr); err == nil {
		t.Error("it still answers")
	}
}

// TestServerCutsOff: a handler that only ends with its context, as a stream
// does, ends after the grace.
func TestServerCutsOff(t *testing.T) {
	entered := make(chan struct{})
	addr, stop := run(t, &web.Server{Grace: time.Millisecond, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})})
	answered := make(chan error)
	go func() { _, _, err := get(addr); answered <- err }()
	<-entered
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := <-answered; err == nil {
		t.Error("an answer out of nothing")
	}
}

// TestServerClosesUnused: a connection on which nothing was ever asked is not
// waited for. The grace is shorter than the 5 s that net/http gives it.
func TestServerClosesUnused(t *testing.T) {
	var log bytes.Buffer // read once the server has ended
	addr, stop := run(t, &web.Server{Handler: hello, Grace: 4 * time.Second, Log: slog.New(slog.NewTextHandler(&log, nil))})
	reserve, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer reserve.Close()
	if _, _, err := get(addr); err != nil { // accepted after the other
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if log.Len() > 0 {
		t.Errorf("it said: %s", log.String())
	}
}

// TestServerMakesRoom: connections that do nothing, or nothing yet, give way;
// those at work do not.
func TestServerMakesRoom(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	addr, _ := run(t, &web.Server{MaxConns: 8, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-leave
		}
		_, _ = w.Write([]byte("hello"))
	})})
	slow := make(chan string)
	go func() { _, body, err := get(addr + "/slow"); slow <- fmt.Sprint(body, err) }()
	<-entered
	var crowd []net.Conn
	for n := range 100 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if n%2 == 0 {
			if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: localh")); err != nil && !errors.Is(err, net.ErrClosed) {
				continue // it had to give way already
			}
		}
		crowd = append(crowd, c)
	}
	if status, body, err := get(addr); status != 200 || body != "hello" {
		t.Errorf("a good client: %d %q %v", status, body, err)
	}
	if _, err := crowd[0].Read(make([]byte, 1)); err == nil {
		t.Error("the oldest idle connection is not closed")
	}
	close(leave)
	if got := <-slow; got != "hello<nil>" {
		t.Errorf("the one at work got %q", got)
	}
}
