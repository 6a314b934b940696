package dashboard

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

// Bounds of a request.
const (
	maxForm      = 16 << 10
	writeTimeout = 10 * time.Second
	maxReaders   = 8 // pages at work at once; further ones wait
)

// Store is what the pages read. *store.Store is one.
type Store interface {
	Get(ctx context.Context, t *store.Table, column string, value any) (store.Record, error)
	List(ctx context.Context, t *store.Table, q store.Query) (store.Page, error)
	Count(ctx context.Context, t *store.Table, q store.Query) (int64, error)
	Histogram(ctx context.Context, t *store.Table, q store.Query, column string, width time.Duration) ([]store.Bin, error)
}

// Control carries out what a page asks for. It decides itself who may do what,
// and must be safe for concurrent use.
type Control interface {
	// Call has a tool do what is asked and returns its answer as JSON, in the
	// tools' own words. It returns when there is an answer, in under 15 s.
	Call(ctx context.Context, a Ask) json.RawMessage
	// Configs are the configurations that a user's testbed can be started with,
	// as far as they are known; none is not an error.
	Configs(username string) []string
}

// Ask is what a page asks of a tool.
type Ask struct {
	Who  swf.Principal
	From string // address of the browser
	Tool string
	Args map[string]any // of JSON's types
}

// Options make a Dashboard. Store and Feed are needed.
type Options struct {
	Store Store
	Feed  *Feed // what tells the pages that something has changed
	// Lookup knows the tokens that people sign in with; it is asked again with
	// every request, so that a token that is taken back is so at once. nil:
	// nobody signs in, everybody is Anonymous.
	Lookup    func(token string) (swf.Principal, bool)
	Anonymous swf.Principal
	Control   Control          // nil: the pages show and change nothing
	Log       *slog.Logger     // nil: nothing is logged
	Now       func() time.Time // nil: time.Now
}

// Dashboard is the handler of all pages. Make it with New; put web.Guard in
// front. Safe for concurrent use.
type Dashboard struct {
	o        Options
	sessions *sessions
	views    views
	readers  chan struct{}
	handler  http.Handler
}

// New returns a Dashboard.
func New(o Options) *Dashboard {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Dashboard{o: o, sessions: newSessions(o.Lookup, o.Now), views: parseViews(), readers: make(chan struct{}, maxReaders)}
	d.handler = secured(web.LimitBody(d.routes(), maxForm))
	return d
}

// ServeHTTP implements http.Handler.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }

// Link returns the path, with a code that signs its first visitor in as p, by
// which a person reaches the pages without typing a token. It is good once, for
// ten minutes. Where nobody signs in it is the plain path.
func (d *Dashboard) Link(p swf.Principal) string {
	if d.o.Lookup == nil {
		return "/"
	}
	return "/login?code=" + d.sessions.code(p)
}

func (d *Dashboard) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /static/", static())
	mux.HandleFunc("GET /login", d.loginPage)
	mux.HandleFunc("POST /login", d.login)
	mux.HandleFunc("POST /logout", d.act(d.logout))
	for path, page := range map[string]page{
		"/{$}":             d.testbeds,
		"/testbeds/{user}": d.testbed,
		"/executions":      d.executions,
		"/executions/{id}": d.execution,
		"/messages":        d.messages,
		"/logs":            d.logs,
		"/commands":        d.commands,
		"/":                func(*visit) (view, error) { return view{}, errNoPage },
	} {
		mux.HandleFunc("GET "+path, d.see(page))
	}
	mux.HandleFunc("GET /live", d.live)
	mux.HandleFunc("POST /testbeds/{user}/start", d.act(d.start))
	mux.HandleFunc("POST /testbeds/{user}/stop", d.act(d.stop))
	mux.HandleFunc("POST /testbeds/{user}/run", d.act(d.run))
	mux.HandleFunc("POST /executions/{id}/stop", d.act(d.end))
	return http.NewCrossOriginProtection().Handler(mux)
}

// policy is what a page of ours may load: its own files, and nothing inline.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secured adds the headers that hold for every answer.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
