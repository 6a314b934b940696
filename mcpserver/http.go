package mcpserver

import (
	"context"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

// HTTPOptions say who may connect over HTTP.
type HTTPOptions struct {
	// Lookup knows the bearer tokens, OAuth those of an authorization server.
	// Neither asks for none: whoever reaches the listener is Anonymous then.
	Lookup    func(token string) (swf.Principal, bool)
	OAuth     *web.OAuth
	Anonymous swf.Principal

	Hosts   []string // further names of this server, for web.Guard
	Origins []string // further web origins, for web.Guard

	// Refused is told what HTTP itself refuses, for an audit; it must not wait.
	Refused func(web.Refusal)

	// SessionKey signs session ids. Replicas behind one balancer share it;
	// empty makes a random one.
	SessionKey []byte

	PerSecond   float64       // requests of one principal; default 50, negative is no limit, of calls neither
	Burst       int           // default 100
	Calls       CallLimits    // of one principal
	SessionIdle time.Duration // after which a session is forgotten; default 1 h
	WriteLimit  time.Duration // of one write to a slow reader; default 10 s
}

// CallLimits bound the calls of tools by one principal. Zero is the default.
type CallLimits struct {
	PerSecond float64 // default 10
	Burst     int     // default 20
	AtOnce    int     // default 32
}

// HTTP serves streamable HTTP at /mcp, the deprecated HTTP+SSE at /sse and
// /message, and /health. Give it to a web.Server as its Handler, and Close as
// its BeforeShutdown.
type HTTP struct {
	o       HTTPOptions
	log     *slog.Logger
	server  *Server
	handler http.Handler
	auth    web.Auth
	ids     *ids

	streams *web.Quota
	posts   *web.Quota
	active  *web.Quota       // calls
	calls   *web.RateLimiter // nil: no limit
	meters  sync.Map         // *meter of each SSE session
	calling calling          // calls that pass the library by

	streamable *server.StreamableHTTPServer
	sse        *server.SSEServer
	stopping   context.Context
	stop       context.CancelFunc
}

// maxPrincipals bounds what is remembered of principals.
const maxPrincipals = 4096

func (o *HTTPOptions) defaults() {
	for value, standard := range map[*int]int{&o.Burst: 100, &o.Calls.Burst: 20, &o.Calls.AtOnce: 32} {
		if *value == 0 {
			*value = standard
		}
	}
	for value, standard := range map[*float64]float64{&o.PerSecond: 50, &o.Calls.PerSecond: 10} {
		if *value == 0 {
			*value = standard
		}
	}
	for value, standard := range map[*time.Duration]time.Duration{&o.SessionIdle: time.Hour, &o.WriteLimit: writeLimit} {
		if *value == 0 {
			*value = standard
		}
	}
}

// HTTP makes the handler. It starts a goroutine that forgets idle sessions and
// that Close ends.
func (s *Server) HTTP(o HTTPOptions) *HTTP {
	o.defaults()
	h := &HTTP{o: o, log: s.log, server: s, ids: newIDs(o.SessionKey), auth: web.Auth{Lookup: o.Lookup, OAuth: o.OAuth},
		streams: web.NewQuota(streamsPerUser, maxStreams), posts: web.NewQuota(postsPerUser, maxPosts), active: web.NewQuota(o.Calls.AtOnce, maxPosts)}
	if o.PerSecond > 0 {
		h.calls = web.NewRateLimiter(o.Calls.PerSecond, o.Calls.Burst, maxPrincipals)
	}
	h.stopping, h.stop = context.WithCancel(context.Background())
	h.streamable = server.NewStreamableHTTPServer(s.mcp,
		server.WithSessionIdManagerResolver(h.ids),
		server.WithSessionIdleTTL(o.SessionIdle),
		server.WithDisableLocalhostProtection(true), // web.Guard is stricter and knows our names
		server.WithStreamableHTTPLogger(quiet(s.log)))
	h.sse = server.NewSSEServer(s.mcp,
		server.WithUseFullURLForMessageEndpoint(false),
		server.WithKeepAliveInterval(heartbeat),
		server.WithSSEDisableLocalhostProtection(true),
		server.WithSSEContextFunc(h.sseContext),
		server.WithSessionIDGenerator(func(ctx context.Context, _ *http.Request) (string, error) {
			id, _ := ctx.Value(sseIDKey{}).(string)
			return id, nil
		}))
	h.handler = h.routes()
	return h
}

// ServeHTTP implements http.Handler.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.handler.ServeHTTP(w, r) }

// Close ends all streams and sessions. Calls under way over streamable HTTP
// go on and are answered; those over SSE have nobody to answer.
func (h *HTTP) Close() {
	h.stop()
	h.sse.CloseSessions()
	_ = h.streamable.Shutdown(context.Background()) // it has no server of its own, so there is nothing to wait for
}

// quiet keeps the library's log of what clients did to themselves below the
// operator's eyes.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(demoted{log.Handler()}) }

type demoted struct{ slog.Handler }

func (d demoted) Enabled(ctx context.Context, _ slog.Level) bool {
	return d.Handler.Enabled(ctx, slog.LevelDebug)
}

func (d demoted) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return d.Handler.Handle(ctx, r)
}

func (h *HTTP) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/mcp", h.only(http.HandlerFunc(h.serveMCP), http.MethodPost, http.MethodGet, http.MethodDelete))
	mux.Handle("/sse", h.only(http.HandlerFunc(h.serveSSE), http.MethodGet))
	mux.Handle("/message", h.only(http.HandlerFunc(h.serveMessage), http.MethodPost))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		web.WriteError(w, http.StatusNotFound, swf.E(swf.CodeInvalidArgument, "there is nothing at this path", "MCP is served at /mcp, and at /sse for old clients"))
	})
	var inner http.Handler = mux
	if h.o.PerSecond > 0 {
		inner = web.NewRateLimiter(h.o.PerSecond, h.o.Burst, maxPrincipals).Handler(inner)
	}
	inner = h.named(inner)
	inner = h.auth.Handler(inner)
	outer := http.NewServeMux()
	outer.Handle("/health", h.only(http.HandlerFunc(health), http.MethodGet))
	if h.o.OAuth != nil {
		for _, path := range h.o.OAuth.MetadataPaths() {
			outer.Handle(path, h.o.OAuth.Metadata())
		}
	}
	outer.Handle("/", inner)
	return web.Refusals(web.Guard(outer, web.GuardOptions{Hosts: h.o.Hosts, Origins: h.o.Origins}), h.o.Refused)
}

func health(w http.ResponseWriter, _ *http.Request) {
	web.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// named gives requests without a token, where none is asked for, a name.
func (h *HTTP) named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := web.PrincipalFrom(r.Context()); !ok && !h.auth.Needed() {
			r = r.WithContext(web.WithPrincipal(r.Context(), h.o.Anonymous))
		}
		next.ServeHTTP(w, r)
	})
}

// only refuses other methods, other content than JSON, and bodies that are
// too long, in this order.
func (h *HTTP) only(next http.Handler, methods ...string) http.Handler {
	allow := strings.Join(methods, ", ")
	limited := web.LimitBody(next, maxMessage)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, m := range methods {
			if r.Method != m {
				continue
			}
			if m == http.MethodPost && !isJSON(r.Header.Get("Content-Type")) {
				web.WriteError(w, http.StatusUnsupportedMediaType, swf.E(swf.CodeInvalidArgument, "the content is not declared as JSON", "send Content-Type: application/json"))
				return
			}
			if m == http.MethodPost {
				leave, ok := h.posts.Enter(principal(r))
				if !ok {
					web.TooMany(w, "requests under way", time.Second)
					return
				}
				defer leave()
			}
			limited.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", allow)
		web.WriteError(w, http.StatusMethodNotAllowed, swf.E(swf.CodeInvalidArgument, "this path does not take "+short(r.Method), "it takes "+allow))
	})
}

// isJSON reports whether a Content-Type is that of JSON, whatever its parameters.
func isJSON(contentType string) bool {
	if contentType == jsonType {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == jsonType
}

// principal is the name of who asks.
func principal(r *http.Request) string {
	p, _ := web.PrincipalFrom(r.Context())
	return p.Name
}

// writeProblem answers a message that is not passed on.
func writeProblem(w http.ResponseWriter, status int, p *problem, id []byte) {
	w.Header().Set("Content-Type", jsonType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(p.reply(id)) // the client may be gone
}

func noSession(w http.ResponseWriter) {
	web.WriteError(w, http.StatusNotFound, swf.E(swf.CodeInvalidArgument, "there is no such session", "initialize a new one"))
}

// legacy are the protocol versions that HTTP+SSE can serve.
func legacy() []string { return mcp.LegacyProtocolVersions() }
