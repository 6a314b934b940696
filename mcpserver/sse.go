package mcpserver

import (
	"context"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
	"github.com/epic-swf/testbed/web"
)

type sseIDKey struct{}

// serveSSE is /sse: one stream, one session, whose id ends with the stream.
func (h *HTTP) serveSSE(w http.ResponseWriter, r *http.Request) {
	if !accepts(r, "text/event-stream") {
		web.WriteError(w, http.StatusNotAcceptable, swf.E(swf.CodeInvalidArgument, "this path answers with a stream of events", "send Accept: text/event-stream"))
		return
	}
	who := principal(r)
	leave, ok := h.streams.Enter(who)
	if !ok {
		tooMany(w, "streams")
		return
	}
	defer leave()
	if h.ids.full(who) {
		tooMany(w, "sessions")
		return
	}
	id, seen := h.ids.mint(who), &meter{}
	defer h.ids.end(id)
	h.meters.Store(id, seen)
	defer h.meters.Delete(id)
	pw, r, done := patient(w, r, h.o.WriteLimit)
	defer done()
	defer context.AfterFunc(h.stopping, pw.cancel)()
	h.sse.SSEHandler().ServeHTTP(counted{pw, seen}, r.WithContext(context.WithValue(r.Context(), sseIDKey{}, id)))
}

// serveMessage is /message: what a client of /sse sends. The transport knows
// no version after 2025-11-25, and says so.
func (h *HTTP) serveMessage(w http.ResponseWriter, r *http.Request) {
	m, bad := readMessage(web.Body(r))
	if bad != nil {
		writeProblem(w, http.StatusBadRequest, bad, nil)
		return
	}
	if !h.ids.valid(r.URL.Query().Get("sessionId"), principal(r)) {
		noSession(w)
		return
	}
	taken, ok := h.call(w, r, &m)
	if !ok {
		return
	}
	defer taken()
	if seen, ok := h.meters.Load(r.URL.Query().Get("sessionId")); ok {
		r = r.WithContext(metered(r.Context(), seen.(*meter)))
	}
	r.Header.Del(mcp.HeaderProtocolVersion)
	pw, r, done := patient(w, r, h.o.WriteLimit)
	defer done()
	h.sse.MessageHandler().ServeHTTP(pw, r)
}

// sseContext prepares the context of one message. The library detaches it
// from the request; when the server stops nobody can take the answer.
func (h *HTTP) sseContext(ctx context.Context, r *http.Request) context.Context {
	ctx = tools.WithOrigin(ctx, tools.OriginFrom(fromHTTP(r, "sse", r.URL.Query().Get("sessionId")).Context()))
	return server.WithSupportedProtocolVersions(servedUntil(ctx, h.stopping), legacy())
}
