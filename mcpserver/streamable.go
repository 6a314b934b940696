package mcpserver

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"

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
		raw, _ := io.ReadAll(r.Body) // in memory already
		r.Body = io.NopCloser(bytes.NewReader(raw))
		var bad *problem
		if m, bad = readMessage(raw); bad != nil {
			writeProblem(w, http.StatusBadRequest, bad, nil)
			return
		}
	}
	modern := m.Modern || mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion))
	if !h.admit(w, r, &m, modern) {
		return
	}
	stream := r.Method == http.MethodGet || m.Method == string(mcp.MethodSubscriptionsListen)
	pw, r, done := patient(w, r, h.o.WriteLimit)
	defer done()
	if stream {
		leave, ok := h.streams.enter(principal(r))
		if !ok {
			tooMany(w, "streams")
			return
		}
		defer leave()
		defer context.AfterFunc(h.stopping, pw.cancel)()
	}
	if !stream && !accepts(r, "text/event-stream") {
		h.streamable.ServeHTTP(plainWriter{pw}, r)
		return
	}
	h.streamable.ServeHTTP(pw, r)
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

func tooMany(w http.ResponseWriter, what string) {
	w.Header().Set("Retry-After", "60")
	web.WriteError(w, http.StatusTooManyRequests, swf.E(swf.CodeLimited, "too many "+what+" are open", "close some, or wait until idle ones are forgotten"))
}

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

// Limits of open streams.
const (
	streamsPerUser = 32
	maxStreams     = 200 // below the listener's 256 connections, so calls still get through
)

// streams counts open streams by principal.
type streams struct {
	mu    sync.Mutex
	of    map[string]int
	total int
}

func newStreams() *streams { return &streams{of: make(map[string]int)} }

func (s *streams) enter(principal string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[principal] >= streamsPerUser || s.total >= maxStreams {
		return nil, false
	}
	s.of[principal]++
	s.total++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.total--
		if s.of[principal]--; s.of[principal] == 0 {
			delete(s.of, principal)
		}
	}, true
}
