package interop

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// site is our broker and our monitor, for Python programs that bring the rest.
type site struct {
	username, host, port string
	login, passcode      string
	monitor, token       string // URL, and what it asks for

	heard recorder // what clients sent to the broker
	dial  func(id string) *amq.Conn
}

func newSite(t *testing.T) *site {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{username: me.Username, login: "admin", passcode: "pass:word\\", token: strings.Repeat("0123456789", 4)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.host, s.port, _ = net.SplitHostPort(l.Addr().String())
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "monitor.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	rest := httptest.NewServer(api.New(api.Options{Store: st, Token: swf.Secret(s.token)}))
	s.monitor = rest.URL
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait(); rest.Close(); _ = st.Close() })
	wg.Go(func() {
		_ = broker.New(broker.Options{Login: s.login, Passcode: s.passcode}).Serve(ctx, listener{l, &s.heard})
	})
	s.dial = func(id string) *amq.Conn {
		c := amq.New(amq.Options{Addr: l.Addr().String(), Login: s.login, Passcode: s.passcode, ClientID: id, Log: slog.New(slog.DiscardHandler)})
		wg.Go(func() { _ = c.Run(ctx) })
		return c
	}
	return s
}

func (s *site) client() *monitor.Client {
	return monitor.New(monitor.Options{URL: s.monitor, LogURL: s.monitor, Token: swf.Secret(s.token)})
}

// recorder keeps what each client sent, byte by byte.
type recorder struct {
	mu      sync.Mutex
	streams []*strings.Builder
}

type listener struct {
	net.Listener
	to *recorder
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.to.mu.Lock()
	defer l.to.mu.Unlock()
	b := &strings.Builder{}
	l.to.streams = append(l.to.streams, b)
	return recorded{c, l.to, b}, nil
}

type recorded struct {
	net.Conn
	to  *recorder
	all io.Writer
}

func (r recorded) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.to.mu.Lock()
	defer r.to.mu.Unlock()
	_, _ = r.all.Write(p[:n])
	return n, err
}

// frames returns the frames of the client whose first one has that line.
func (r *recorder) frames(line string) (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.streams {
		all := strings.Split(b.String(), "\x00")
		if strings.Contains(all[0], "\n"+line+"\n") {
			for _, f := range all {
				if f = strings.TrimLeft(f, "\n"); f != "" {
					list = append(list, f)
				}
			}
		}
	}
	return list
}
