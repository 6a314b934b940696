package supervisor

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

const okHead = `<?xml version="1.0"?><methodResponse><params><param><value>`
const okTail = `</value></param></params></methodResponse>`

func xmlString(s string) string { return okHead + "<string>" + s + "</string>" + okTail }

// fake answers HTTP as given. What a real supervisord does not do on demand is
// tested with it: exceptions, garbage, silence.
func fake(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return NewClient(Endpoint{Network: "tcp", Address: strings.TrimPrefix(srv.URL, "http://"), Username: "u", Password: "p"})
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if u, p, _ := r.BasicAuth(); u != "u" || p != "p" {
			status = http.StatusUnauthorized
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestClientAnswers(t *testing.T) {
	fault := `<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>6</int></value></member>` +
		`<member><name>faultString</name><value><string>SHUTDOWN_STATE</string></value></member></struct></value></fault></methodResponse>`
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string // in the error; "" for none
		is      error
	}{
		{"string", answer(200, xmlString("4.2.5")), "", nil},
		{"fault", answer(200, fault), "SHUTDOWN_STATE", ErrShuttingDown},
		{"exception", answer(500, "Traceback"), "HTTP 500 to supervisor.getSupervisorVersion", nil},
		{"unauthorised", answer(401, ""), "HTTP 401", ErrForbidden},
		{"no xml", answer(200, "hello"), "unreadable answer", nil},
		{"wrong type", answer(200, okHead+"<int>5</int>"+okTail), "unreadable answer", nil},
		{"cut off", answer(200, okHead+"<string>x"), "unreadable answer", nil},
		{"too much", answer(200, strings.Repeat(" ", maxReply+1)), "more than", nil},
		{"broken", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "EOF", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := fake(t, tt.handler).Version(t.Context())
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("err = %v, want %q", err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("err = %v, want %v", err, tt.is)
			}
			if err != nil && strings.Contains(err.Error(), "u:p") {
				t.Error("credentials shown")
			}
		})
	}
}

func TestClientTimes(t *testing.T) {
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	c.timeout = 50 * time.Millisecond
	if _, err := c.PID(t.Context()); !errors.Is(err, ErrHung) {
		t.Errorf("silence = %v, want ErrHung", err)
	}
	c.timeout = time.Hour
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
	if _, err := c.PID(ctx); !errors.Is(err, cause) || errors.Is(err, ErrHung) {
		t.Errorf("cancelled = %v", err)
	}
	deadline, cancel2 := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel2()
	if _, err := c.PID(deadline); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrHung) {
		t.Errorf("deadline = %v", err)
	}
}

// A unix socket whose queue is full: nobody accepts, connecting does not even succeed.
func TestClientFullQueue(t *testing.T) {
	path := t.TempDir() + "/s"
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			break
		}
		defer conn.Close()
	}
	c := NewClient(Endpoint{Network: "unix", Address: path})
	c.timeout = 100 * time.Millisecond
	if _, err := c.PID(t.Context()); !errors.Is(err, ErrHung) {
		t.Errorf("err = %v, want ErrHung", err)
	}
}

func TestClientNobodyThere(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", dir+"/stale")
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	write(t, dir+"/file", "")
	for _, path := range []string{dir + "/none", dir + "/stale", dir + "/file"} {
		if _, err := NewClient(Endpoint{Network: "unix", Address: path}).PID(t.Context()); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: %v, want ErrNotRunning", path, err)
		}
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp.Close()
	if _, err := NewClient(Endpoint{Network: "tcp", Address: tcp.Addr().String()}).PID(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("tcp: %v, want ErrNotRunning", err)
	}
}

// The real one over TCP with a password, each call of the client, and its faults.
func TestClientOverTCP(t *testing.T) {
	t.Parallel()
	bin := supervisordBinary(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	conf := "[inet_http_server]\nport=" + l.Addr().String() + "\nusername=me\npassword=pass%%word\n" +
		"[supervisord]\nlogfile=%(here)s/logs/supervisord.log\n" +
		"[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n" +
		programSections([]string{"a", sleeper, "b", "command=/no/such"})
	r := newRigConf(t, bin, t.TempDir(), conf)
	r.spawn()
	c := r.Client()
	t.Cleanup(func() { _ = r.Shutdown(context.WithoutCancel(r.ctx())) })
	if v, err := c.Version(r.ctx()); err != nil || !strings.HasPrefix(v, "4.") {
		t.Errorf("Version = %q, %v", v, err)
	}
	if s, err := c.State(r.ctx()); err != nil || s.Code != 1 || s.Name != "RUNNING" {
		t.Errorf("State = %v, %v", s, err)
	}
	set, err := c.Settings(r.ctx())
	if err != nil || len(set) != 2 || set[0].StopSignal != syscall.SIGQUIT || set[0].StopWaitSecs != 10 || set[0].StartSecs != 0 {
		t.Errorf("Settings = %v, %v", set, err)
	}
	errs, err := c.StartAll(r.ctx(), []string{"a", "b", "nope", "a"})
	if err != nil || errs[0] != nil {
		t.Fatalf("StartAll = %v, %v", errs, err)
	}
	for i, code := range []FaultCode{FaultNoFile, FaultBadName, FaultAlreadyStarted} {
		var f *Fault
		if !errors.As(errs[i+1], &f) || f.Code != code || !strings.Contains(f.Error(), code.String()) {
			t.Errorf("StartAll[%d] = %v, want %s", i+1, errs[i+1], code)
		}
	}
	var f *Fault
	if err := c.Signal(r.ctx(), "b", syscall.SIGHUP); !errors.As(err, &f) || f.Code != FaultNotRunning {
		t.Errorf("Signal = %v", err)
	}
	if err := c.call(r.ctx(), time.Second, nil, "supervisor.noSuch"); !errors.As(err, &f) || f.Code != FaultUnknownMethod {
		t.Errorf("unknown method = %v", err)
	}
	e := r.Conf().Endpoint
	e.Password = "wrong"
	if _, err := NewClient(e).PID(r.ctx()); !errors.Is(err, ErrForbidden) {
		t.Errorf("wrong password = %v", err)
	}
	r.shutdownNow()
	if _, err := os.Stat(r.Conf().PIDFile); !os.IsNotExist(err) {
		t.Error(err)
	}
}
