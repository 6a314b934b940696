package attacks

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/audit"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/mcpserver"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
	"github.com/epic-swf/testbed/web"
)

// patience is how long a test waits for what must come; it is no verdict on
// speed.
const patience = 60 * time.Second

// short is how long a call may wait whose outcome does not matter.
const short = 200 * time.Millisecond

// The users of every site. Carol is an operator.
const (
	ann, bob, carol = "ann", "bob", "carol"
)

// site is a deployment, wired as the programs wire it: one broker, one monitor
// and one MCP server for several users. Every user has the bearer token
// tokenOf(name) and a control key of their own, which the server knows; managers
// run only where startManager was called.
type site struct {
	t   testing.TB
	dir string

	broker     string // its address, with the login and passcode below
	login      string
	passcode   string
	monitor    string // its URL
	monitorKey swf.Secret
	url        string // of the MCP server, without a path: add /mcp or /sse

	users  map[string]*user
	server *mcpserver.Server
	sent   *sent // what the MCP server published
	log    *logged
	trail  *logged // the audit trails of the MCP server and of the managers

	ctx  context.Context
	wait sync.WaitGroup
}

// siteOptions change a site. The zero value is what most attacks want.
type siteOptions struct {
	users    []string // besides ann, bob and carol
	limits   tools.Limits
	wait     time.Duration // for an outcome; default 10 s
	readOnly bool
	http     mcpserver.HTTPOptions // Lookup is filled in
}

// fast are limits that do not slow an honest test down; the attacks on them
// set their own.
var fast = tools.Limits{PerSecond: -1, AtOnce: 512}

func newSite(t testing.TB, o siteOptions) *site {
	t.Helper()
	dir, err := os.MkdirTemp(shortTemp(), "at")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &site{t: t, dir: dir, ctx: ctx, login: "testbed", passcode: "broker-passcode-of-the-site",
		monitorKey: "monitor-token-of-the-site", users: map[string]*user{}, sent: &sent{}, log: &logged{}, trail: &logged{}}
	t.Cleanup(func() {
		cancel()
		s.wait.Wait()
		if t.Failed() {
			t.Log(s.log.String())
		}
		os.RemoveAll(dir)
	})
	for _, name := range append([]string{ann, bob, carol}, o.users...) {
		s.users[name] = &user{s: s, name: name, token: "token-of-" + name + "-0123456789", key: control.NewKey()}
	}
	s.users[carol].operator = true
	s.serveBroker()
	s.serveMonitor()
	s.serveMCP(o)
	return s
}

// shortTemp: paths of sockets may have 99 bytes.
func shortTemp() string {
	if d := os.TempDir(); len(d) < 30 {
		return d
	}
	return "/tmp"
}

func (s *site) listen() net.Listener {
	s.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	return ln
}

func (s *site) serveBroker() {
	ln := s.listen()
	s.broker = ln.Addr().String()
	s.wait.Go(func() {
		_ = broker.New(broker.Options{Login: s.login, Passcode: s.passcode, Log: s.log.logger()}).Serve(s.ctx, ln)
	})
}

func (s *site) serveMonitor() {
	s.t.Helper()
	st, err := store.Open(s.t.Context(), store.Options{Path: filepath.Join(s.dir, "monitor.db"), Log: s.log.logger()})
	if err != nil {
		s.t.Fatal(err)
	}
	rest := httptest.NewServer(api.New(api.Options{Store: st, Token: s.monitorKey, Lookup: s.lookupForMonitor, ClosedLogs: true, Log: s.log.logger()}))
	s.monitor = rest.URL
	s.t.Cleanup(func() { rest.Close(); _ = st.Close() })
}

// lookupForMonitor knows the tokens that users' agents have for the monitor.
func (s *site) lookupForMonitor(token string) (swf.Principal, bool) {
	name, ok := strings.CutPrefix(token, "monitor-token-of-")
	if u := s.users[name]; ok && u != nil {
		return u.principal(), true
	}
	return swf.Principal{}, false
}

// records is the audit trail so far.
func (s *site) records() (list []audit.Record) {
	s.t.Helper()
	for line := range strings.Lines(s.trail.String()) {
		var r audit.Record
		decode(s.t, []byte(line), &r)
		list = append(list, r)
	}
	return list
}

// recordsOf are those about calls of one user, since the first n records.
func (s *site) recordsOf(who string, n int) (list []audit.Record) {
	s.t.Helper()
	for _, r := range s.records()[n:] {
		if r.Who == who && r.Part == "mcp" {
			list = append(list, r)
		}
	}
	return list
}

// monitorClient is a client that knows the monitor's token.
func (s *site) monitorClient() *monitor.Client {
	return monitor.New(monitor.Options{URL: s.monitor, LogURL: s.monitor, Token: s.monitorKey})
}

// connect opens a connection to the broker that lasts as long as the site.
func (s *site) connect() *amq.Conn {
	c := amq.New(s.brokerOptions())
	s.wait.Go(func() { _ = c.Run(s.ctx) })
	return c
}

func (s *site) brokerOptions() amq.Options {
	return amq.Options{Addr: s.broker, Login: s.login, Passcode: s.passcode, Log: slog.New(slog.DiscardHandler),
		BackoffMin: 20 * time.Millisecond, BackoffMax: 300 * time.Millisecond}
}

func (s *site) serveMCP(o siteOptions) {
	s.t.Helper()
	if o.limits == (tools.Limits{}) {
		o.limits = fast
	}
	if o.http.PerSecond == 0 {
		o.http.PerSecond = -1
	}
	client := control.NewClient(control.ClientOptions{Bus: spying{s.connect(), s.sent}, Keys: s.keyOf, Source: "mcp", Log: s.log.logger()})
	set := tools.New(tools.Options{Commander: client, Monitor: s.monitorClient(), Log: s.log.logger(), Limits: o.limits,
		ShortWait: o.wait, Audit: audit.New("mcp", s.trail, s.log.logger())})
	var err error
	s.server, err = mcpserver.New(mcpserver.Options{Tools: set.Tools(), Resources: set.Resources(), Prompts: set.Prompts(),
		Complete: set.Complete, NoTool: set.NoTool, ReadOnly: o.readOnly, Log: s.log.logger(), Version: "v0.0.0-test"})
	if err != nil {
		s.t.Fatal(err)
	}
	o.http.Lookup = s.lookup
	h := s.server.HTTP(o.http)
	ln := s.listen()
	s.url = "http://" + ln.Addr().String()
	s.wait.Go(func() {
		_ = (&web.Server{Listener: ln, Handler: h, BeforeShutdown: h.Close, Grace: patience, Log: s.log.logger()}).Run(s.ctx)
		client.Close()
	})
}

func (s *site) lookup(token string) (swf.Principal, bool) {
	for _, u := range s.users {
		if u.token == token {
			return u.principal(), true
		}
	}
	return swf.Principal{}, false
}

func (s *site) keyOf(name string) control.Ring {
	if u := s.users[name]; u != nil {
		return u.key.Ring()
	}
	return control.Ring{}
}

// tokenOf is the bearer token of a user.
func (s *site) tokenOf(name string) string { return s.users[name].token }

// sent is what the MCP server published, by destination.
type sent struct {
	mu  sync.Mutex
	all []amq.Message
}

// to are the messages for a user's manager, in order.
func (s *sent) to(username string) []amq.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []amq.Message
	for _, m := range s.all {
		if strings.Contains(m.Destination, "."+username+".") || strings.HasSuffix(m.Destination, "."+username) {
			list = append(list, m)
		}
	}
	return list
}

// spying is a bus that tells what is published on it.
type spying struct {
	*amq.Conn
	sent *sent
}

func (b spying) Publish(ctx context.Context, m amq.Message) error {
	b.sent.mu.Lock()
	b.sent.all = append(b.sent.all, m)
	b.sent.mu.Unlock()
	return b.Conn.Publish(ctx, m)
}

// logged is everything that the site's parts logged.
type logged struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
