package api

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// Limits of a request.
const (
	maxBody      = 1 << 20
	maxOpenBody  = 64 << 10 // where anybody may write: log records
	maxJSONDepth = 64
	maxReaders   = 8 // GETs at work at once; further ones wait
	writeTimeout = 10 * time.Second
)

// Store is what the API needs of a store. *store.Store is one.
type Store interface {
	Records
	Next(ctx context.Context, q store.Sequence) (int64, error)
	EnsureNamespace(ctx context.Context, name, owner, description string) (ns store.Record, created bool, err error)
	Beat(ctx context.Context, b store.Beat) (agent store.Record, created bool, err error)
	LogSummary(ctx context.Context, since time.Time) (store.LogSummary, error)
}

// Records keeps records of every table.
type Records interface {
	Insert(ctx context.Context, t *store.Table, r store.Record) (store.Record, error)
	InsertAll(ctx context.Context, t *store.Table, records []store.Record) ([]store.Record, error)
	Get(ctx context.Context, t *store.Table, column string, value any) (store.Record, error)
	List(ctx context.Context, t *store.Table, q store.Query) (store.Page, error)
	Count(ctx context.Context, t *store.Table, q store.Query) (int64, error)
	Update(ctx context.Context, t *store.Table, key any, change func(store.Record) (store.Record, error)) (store.Record, error)
	UpdateAll(ctx context.Context, t *store.Table, keys []any, change func(i int, current store.Record) (store.Record, error)) ([]store.Record, error)
	Delete(ctx context.Context, t *store.Table, key any) error
}

// Options say what an API serves.
type Options struct {
	Store Store
	// Token opens everything to whoever sends it as "Authorization: Token KEY",
	// as each token of the Python monitor does.
	Token swf.Secret
	// Lookup knows the tokens of users: what has an owner is written with the
	// owner's token or an operator's, a viewer's only reads. Without it and
	// without a Token nobody is asked, and everything is open to all.
	Lookup func(token string) (swf.Principal, bool)
	// ClosedLogs asks for a token for log records and dialogues too, which the
	// contract leaves open: right where others than this host's can connect.
	ClosedLogs bool
	Hub        *Hub             // what the stream of messages shows; nil: nothing
	Log        *slog.Logger     // nil: nothing is logged
	Now        func() time.Time // nil: time.Now
}

type api struct {
	store     Store
	open      bool
	closed    bool              // log records
	shared    [sha256.Size]byte // of the token that opens everything; see authenticate
	lookup    func(token string) (swf.Principal, bool)
	log       *slog.Logger
	now       func() time.Time
	resources map[string]*resource
	functions map[string]endpoint
	readers   chan struct{}
	hub       *Hub
}

// New returns the handler of /api/… and /healthz (contract 1). It asks for
// tokens itself, reads at most 1 MiB of body (64 KiB of a log record), cuts off
// clients that take over 10 s to read an answer, and is safe for concurrent use.
// Streams end with Hub.Close, which a server calls before it shuts down; the
// caller puts web.Guard in front and, where there is a mount point,
// http.StripPrefix.
func New(o Options) http.Handler {
	a := &api{store: o.Store, open: o.Token == "" && o.Lookup == nil, closed: o.ClosedLogs, log: o.Log, now: o.Now,
		shared: sha256.Sum256([]byte(o.Token.Reveal())), lookup: o.Lookup,
		readers: make(chan struct{}, maxReaders), hub: o.Hub}
	if a.hub == nil {
		a.hub = NewHub()
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.now == nil {
		a.now = time.Now
	}
	a.resources = map[string]*resource{}
	for _, res := range resources() {
		a.resources[res.path] = res
	}
	a.functions = a.functionEndpoints()
	return http.HandlerFunc(a.serve)
}

// functionEndpoints are the paths that are no plain resource.
func (a *api) functionEndpoints() map[string]endpoint {
	next := func(q store.Sequence, field string) map[string]handler {
		return map[string]handler{http.MethodPost: func(r *http.Request) (answer, error) { return a.next(r, q, field) }}
	}
	return map[string]endpoint{
		"":                                 {access: accessViewset, methods: map[string]handler{http.MethodGet: a.root}},
		"state/next-agent-id":              {access: accessTokenOnly, methods: next(store.AgentIDs, "agent_id")},
		"state/next-run-number":            {access: accessTokenOnly, methods: next(store.RunNumbers, "run_number")},
		"state/next-workflow-execution-id": {access: accessFunction, methods: next(store.ExecutionIDs, "sequence")},
		"namespaces/ensure":                {access: accessFunction, methods: map[string]handler{http.MethodPost: a.ensureNamespace}},
		"systemagents/heartbeat":           {access: accessViewset, methods: map[string]handler{http.MethodPost: a.heartbeat}},
		"logs/summary":                     {access: accessOpen, methods: map[string]handler{http.MethodGet: a.logSummary}},
		"messages/stream":                  {access: accessStream, stream: a.stream, methods: map[string]handler{http.MethodGet: nil}},
		"messages/stream/status":           {access: accessFunction, methods: map[string]handler{http.MethodGet: a.streamStatus}},
		"ai-memory":                        {access: accessOpen, methods: map[string]handler{http.MethodGet: a.recall}},
		"ai-memory/record":                 {access: accessOpen, methods: map[string]handler{http.MethodPost: a.record}},
	}
}
