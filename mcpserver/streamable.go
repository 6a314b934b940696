package mcpserver

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

// serveMCP is /mcp: what the library does not check of a request, then the
// library. The body has been read and bounded, the method is one of three.
func (h *HTTP) serveMCP(w http.ResponseWriter, r *http.Request) {
	var m message
	if r.Method == http.MethodPost {
		var bad *problem
		if m, bad = readMessage(web.Body(r)); bad != nil {
			writeProblem(w, http.StatusBadRequest, bad, nil)
			return
		}
	}
	r = fromHTTP(r, "http", r.Header.Get(server.HeaderKeySessionID))
	modern := m.Modern || mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion))
	if !h.admit(w, r, &m, modern) {
		return
	}
	if m.Method == string(mcp.MethodNotificationCancelled) {
		h.calling.cancel(r.Header.Get(server.HeaderKeySessionID), &m)
	}
	done, ok := h.call(w, r, &m)
	if !ok {
		return
	}
	defer done()
	if session := h.direct(r, &m, modern); session != nil {
		h.serveDirect(w, r, &m, session)
		return
	}
	stream := r.Method == http.MethodGet || m.Method == string(mcp.MethodSubscriptionsListen)
	pw, r, end := patient(w, r, h.o.WriteLimit)
	defer end()
	if stream {
		leave, ok := h.streams.Enter(principal(r))
		if !ok {
			tooMany(w, "streams")
			return
		}
		defer leave()
		defer context.AfterFunc(h.stopping, pw.cancel)()
	}
	if r.Method == http.MethodGet && !modern && h.server.o.Extend == nil {
		idle(pw, r)
		return
	}
	if !stream && !accepts(r, "text/event-stream") {
		h.streamable.ServeHTTP(plainWriter{pw}, r)
		return
	}
	seen := &meter{}
	h.streamable.ServeHTTP(counted{pw, seen}, r.WithContext(metered(r.Context(), seen)))
}

// heartbeat keeps streams alive through proxies, and notices clients that left.
const heartbeat = 15 * time.Second

// idle is the stream of a GET. Nothing is ever said on it: what is offered does
// not change, and all else belongs to the call that it is about. The library's
// own one would take the calls' notifications away from their answers.
func idle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		if _, err := io.WriteString(w, ": \n\n"); err != nil || rc.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// admit checks the session. Requests of 2026-07-28 have none.
func (h *HTTP) admit(w http.ResponseWriter, r *http.Request, m *message, modern bool) bool {
	switch {
	case r.Method == http.MethodGet && !accepts(r, "text/event-stream"), r.Method == http.MethodPost && !accepts(r, "application/json"):
		web.WriteError(w, http.StatusNotAcceptable, swf.E(swf.CodeInvalidArgument, "the client takes none of the forms of an answer",
			"send Accept: application/json, text/event-stream"))
		return false
	case modern && m.Method == string(mcp.MethodNotificationCancelled):
		// All requests without a session share an empty one in the library, so
		// this could cancel somebody else's. Closing the connection cancels.
		w.WriteHeader(http.StatusAccepted)
		return false
	case modern:
		return true
	case r.Method == http.MethodPost && m.Method == string(mcp.MethodInitialize):
		if h.ids.full(principal(r)) {
			tooMany(w, "sessions")
			return false
		}
		return true
	}
	id := r.Header.Get(server.HeaderKeySessionID)
	if id == "" {
		web.WriteError(w, http.StatusBadRequest, swf.E(swf.CodeInvalidArgument, "the request names no session", "initialize first, then send the Mcp-Session-Id that came back"))
		return false
	}
	if !h.ids.valid(id, principal(r)) {
		noSession(w)
		return false
	}
	return true
}

// call decides whether a call of a tool may be made: whether its principal may
// change anything at all, and how many it has made. What else it may do is the
// tools' to decide. done is called at its end.
func (h *HTTP) call(w http.ResponseWriter, r *http.Request, m *message) (done func(), ok bool) {
	if m.Method != string(mcp.MethodToolsCall) {
		return func() {}, true
	}
	p, _ := web.PrincipalFrom(r.Context())
	if p.ReadOnly && h.server.offer.changes(m.Tool) {
		h.auth.InsufficientScope(w)
		return nil, false
	}
	if h.calls == nil {
		return func() {}, true
	}
	if done, ok = h.active.Enter(p.Name); !ok {
		web.TooMany(w, "calls under way", time.Second)
		return nil, false
	}
	if ok, wait := h.calls.Allow(p.Name); !ok {
		done()
		web.TooMany(w, "calls", wait)
		return nil, false
	}
	return done, true
}

// tooMany answers to who has too much open; things are forgotten after a while.
func tooMany(w http.ResponseWriter, what string) { web.TooMany(w, what+" are open", time.Minute) }

// accepts reports whether the client takes that media type. A client that says
// nothing takes everything.
func accepts(r *http.Request, media string) bool {
	values := r.Header.Values("Accept")
	if len(values) == 0 {
		return true
	}
	kind, _, _ := strings.Cut(media, "/")
	for part := range strings.SplitSeq(strings.Join(values, ","), ",") {
		part, _, _ = strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(part)) {
		case media, "*/*", kind + "/*":
			return true
		}
	}
	return false
}

// Limits of what is open at once.
const (
	streamsPerUser = 32
	maxStreams     = 200 // below the listener's 256 connections, so calls still get through
	postsPerUser   = 64  // each may hold a body of maxMessage, and listens are among them
	maxPosts       = 224
)
