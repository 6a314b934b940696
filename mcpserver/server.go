package mcpserver

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"log/slog"
	"regexp"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"go.opentelemetry.io/otel/trace"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
	"github.com/epic-swf/testbed/web"
)

// Name is what the server calls itself (contract 6).
const Name = "swf-testbed"

//go:embed instructions.md
var instructions string

// listTTL is how long clients may keep the lists of what is offered, which
// never change. What a resource shows changes all the time.
const listTTL = 5 * time.Minute

// Options make a Server. Tools is needed.
type Options struct {
	Tools      []tools.Tool // usually (*tools.Set).Tools()
	ToolPrefix string       // put before every tool's name, e.g. "swf_"
	Toolsets   []string     // of tools.Toolsets; nil offers all
	ReadOnly   bool         // offer nothing that changes anything

	Resources []tools.Resource // usually (*tools.Set).Resources(), and so on
	Prompts   []tools.Prompt
	// Complete gives the names that an argument of prompts and resources may
	// have; see tools.Set.
	Complete func(ctx context.Context, p swf.Principal, kind swf.Kind, value, username string) tools.Completion

	// NoTool answers calls of tools that are not offered; default tools.NoTool.
	// (*tools.Set).NoTool puts them on the record.
	NoTool func(ctx context.Context, p swf.Principal, name string, offered []string) tools.Result

	// Extend adds to the protocol library's server what this package has no
	// words for; the fixtures of the conformance suite need that. Streams of
	// GET are the library's then: it asks for sampling and roots only there.
	Extend func(*server.MCPServer)

	Version string // default swf.Version
	Log     *slog.Logger
	Tracer  trace.TracerProvider // nil: nothing is traced

	// StateKey signs what a client brings back with a person's answer.
	// Replicas behind one balancer share it; empty makes a random one.
	StateKey []byte

	// Principal says who is asking; default web.PrincipalFrom, which all
	// transports here fill.
	Principal func(ctx context.Context) (swf.Principal, bool)
}

// Server is an MCP server without a transport: see ServeStdio and HTTP. It
// touches nothing before the first tool call. Safe for concurrent use.
type Server struct {
	o     Options
	offer *offer
	log   *slog.Logger
	trace trace.Tracer
	mcp   *server.MCPServer

	sessions sync.Map // *known, by the session's id
}

var prefixRE = regexp.MustCompile(`^[a-z_]*$`)

const longestPrefix = 32

// New makes a Server. It fails for a prefix that no tool's name may have and
// for a toolset that does not exist.
func New(o Options) (*Server, error) {
	if len(o.ToolPrefix) > longestPrefix || !prefixRE.MatchString(o.ToolPrefix) {
		return nil, swf.E(swf.CodeInvalidArgument, fmt.Sprintf("%q cannot be put before tool names", o.ToolPrefix), "use small letters and underscores, for example swf_")
	}
	if o.Version == "" {
		o.Version = swf.Version
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if len(o.StateKey) == 0 {
		o.StateKey = []byte(rand.Text())
	}
	if o.Principal == nil {
		o.Principal = web.PrincipalFrom
	}
	f, err := newOffer(o)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, offer: f, log: o.Log, trace: tracer(o.Tracer)}
	hooks := &server.Hooks{}
	s.watch(hooks)
	s.mcp = server.NewMCPServer(Name, o.Version,
		server.WithHooks(hooks),
		server.WithTitle("ePIC streaming workflow testbed"),
		server.WithInstructions(f.instructions()),
		server.WithToolCapabilities(false),
		server.WithCacheHints(listTTL.Milliseconds(), mcp.CacheScopePrivate),
		server.WithMethodCacheHints(mcp.MethodResourcesRead, 0, mcp.CacheScopePrivate),
	)
	s.answerUnknownTools(hooks)
	for _, t := range f.tools {
		s.mcp.AddTool(s.describe(t), s.handler(t))
	}
	s.offerResources()
	s.offerPrompts()
	s.offerCompletion()
	if o.Extend != nil {
		o.Extend(s.mcp)
	}
	return s, nil
}

// describe makes the definition that clients see. All four hints follow from
// the tool's effect; none is left to the library, whose defaults warn.
func (s *Server) describe(t tools.Tool) mcp.Tool {
	d := mcp.NewToolWithRawSchema(s.o.ToolPrefix+t.Name, s.offer.description(t), t.Input)
	d.Title = t.Title
	d.RawOutputSchema = t.Output
	looks, ends, no := t.Effect == tools.Looks, t.Effect == tools.Ends, false
	idempotent := looks || ends
	d.Annotations = mcp.ToolAnnotation{ReadOnlyHint: &looks, DestructiveHint: &ends, IdempotentHint: &idempotent, OpenWorldHint: &no}
	return d
}

// handler makes a tool callable. What goes wrong is always a result that the
// model can read, never a protocol error.
func (s *Server) handler(t tools.Tool) server.ToolHandlerFunc {
	return func(ctx context.Context, req mcp.CallToolRequest) (result *mcp.CallToolResult, _ error) {
		defer func() {
			if r := recover(); r != nil {
				s.log.Error("a tool panicked", "tool", t.Name, "panic", r, "stack", string(debug.Stack()))
				result = mcp.NewToolResultError("Something failed inside the server; its log says what. Try again, or look with get_testbed_status.")
			}
		}()
		ctx, release := whileServed(ctx)
		defer release()
		ctx, traced := s.traced(ctx, t.Name, req.Params.Meta)
		defer func() { traced(result) }()
		p, _ := s.o.Principal(ctx) // nobody is refused by the tool itself
		tell, settle := s.progress(ctx, req)
		r, question := s.call(withClient(ctx), t, p, req, tell)
		settle()
		if question != nil {
			return question, nil
		}
		result = mcp.NewToolResultStructured(r.Value, r.Text)
		result.IsError = r.Failed
		return result, nil
	}
}

// progress returns a function that tells the client how far the call is, nil
// if it did not ask for that, and one that lets the last message out before
// the result.
func (s *Server) progress(ctx context.Context, req mcp.CallToolRequest) (tell func(string), settle func()) {
	if req.Params.Meta == nil || req.Params.Meta.ProgressToken == nil {
		return nil, func() {}
	}
	token, n := req.Params.Meta.ProgressToken, 0
	tell = func(message string) {
		n++
		Notified(ctx)
		err := s.mcp.SendNotificationToClient(ctx, string(mcp.MethodNotificationProgress),
			map[string]any{"progressToken": token, "progress": n, "message": message})
		if err != nil {
			s.log.Debug("progress not told", "err", err)
		}
	}
	return tell, func() { Settle(ctx) }
}

type servedKey struct{}

// servedUntil marks a context whose own end says nothing with one that ends
// when nobody can take the answer any more.
func servedUntil(ctx, end context.Context) context.Context {
	return context.WithValue(ctx, servedKey{}, end)
}

// whileServed returns a context that also ends as servedUntil said.
func whileServed(ctx context.Context) (context.Context, func()) {
	end, ok := ctx.Value(servedKey{}).(context.Context)
	if !ok {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(end, cancel)
	return ctx, func() { stop(); cancel() }
}
