package mcpserver

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/epic-swf/testbed/tools"
)

// The library makes each request ready for whatever may come of it, a stream,
// questions to the client, messages of others, and decodes it seven times on
// its way. A call of a tool that says nothing before its answer needs none of
// that: here it is decoded once, called, and answered as the library would, to
// the byte. All other requests are the library's.

// known is a session that the library keeps, until it has been idle for long.
type known struct {
	session server.ClientSession
	touched atomic.Int64 // when the library's transport saw it last, Unix ns
}

// watch keeps the sessions that the library has, for direct.
func (s *Server) watch(h *server.Hooks) {
	h.AddOnRegisterSession(func(_ context.Context, session server.ClientSession) {
		k := &known{session: session}
		k.touched.Store(time.Now().UnixNano())
		s.sessions.Store(session.SessionID(), k)
	})
	h.AddOnUnregisterSession(func(_ context.Context, session server.ClientSession) { s.sessions.Delete(session.SessionID()) })
}

// direct returns the session of a call that needs nothing but its answer, nil
// for any other request. Now and then the library's transport gets such a call
// too: it forgets sessions of which it hears nothing.
func (h *HTTP) direct(r *http.Request, m *message, modern bool) server.ClientSession {
	if !m.plain || modern || h.server.o.Extend != nil {
		return nil
	}
	if t := h.server.offer.tool(m.Tool); t == nil || t.Effect == tools.Ends { // it may ask the person
		return nil
	}
	if v := r.Header.Get(mcp.HeaderProtocolVersion); v != "" && !mcp.IsValidProtocolVersion(v) {
		return nil
	}
	v, ok := h.server.sessions.Load(r.Header.Get(server.HeaderKeySessionID))
	if !ok {
		return nil // a replica's
	}
	k, now := v.(*known), time.Now().UnixNano()
	if seen := k.touched.Load(); now-seen > int64(h.o.SessionIdle/4) {
		k.touched.Store(now)
		return nil
	}
	return k.session
}

// answers are the buffers in which answers are encoded.
var answers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// largestKept bounds what a buffer holds on to.
const largestKept = 64 << 10

// serveDirect answers a call in that session.
func (h *HTTP) serveDirect(w http.ResponseWriter, r *http.Request, m *message, session server.ClientSession) {
	var id any
	_ = json.Unmarshal(m.ID, &id) // it is a string or a number
	ctx := server.WithRequestProtocolInfo(h.server.mcp.WithContext(r.Context(), session), &server.RequestProtocolInfo{ProtocolVersion: m.call.Meta.ProtocolVersion()})
	ctx, end := h.calling.begin(ctx, session.SessionID(), id)
	defer end()
	req := mcp.CallToolRequest{Request: mcp.Request{Method: m.Method}, Header: r.Header, Params: m.call}
	result, _ := h.server.handler(*h.server.offer.tool(m.Tool))(ctx, req) // what goes wrong is in the result
	if r.Context().Err() != nil {
		return // nobody is there any more
	}
	b := answers.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= largestKept {
			b.Reset()
			answers.Put(b)
		}
	}()
	if err := json.NewEncoder(b).Encode(directly(id, result)); err != nil {
		h.log.Error("an answer could not be encoded", "tool", m.Tool, "err", err)
		b.Reset()
		b.Write((&problem{mcp.INTERNAL_ERROR, "the answer could not be encoded; the server's log says why"}).reply(m.ID))
	}
	pw := &patientWriter{ResponseWriter: w, rc: http.NewResponseController(w), limit: h.o.WriteLimit, cancel: func() {}} // the call is over
	defer pw.rest()
	pw.Header().Set("Content-Type", jsonType)
	pw.WriteHeader(http.StatusOK)
	_, _ = pw.Write(b.Bytes()) // the client may be gone
}

// directAnswer is what the library writes of a result, in its order, without
// the maps that it makes for that.
type directAnswer struct {
	JSONRPC string `json:"jsonrpc"`
	ID      any    `json:"id"`
	Result  struct {
		Content    []mcp.Content `json:"content"`
		IsError    bool          `json:"isError,omitempty"`
		Structured any           `json:"structuredContent,omitempty"`
	} `json:"result"`
}

func directly(id any, r *mcp.CallToolResult) *directAnswer {
	a := &directAnswer{JSONRPC: mcp.JSONRPC_VERSION, ID: id}
	a.Result.Content, a.Result.IsError, a.Result.Structured = r.Content, r.IsError, r.StructuredContent
	return a
}

// calling are the calls under way that a client may cancel.
type calling struct {
	mu sync.Mutex
	of map[callOf]context.CancelFunc
}

type callOf struct {
	session string
	id      any // a string or a float64
}

// begin returns a context that cancel ends; end is called with the answer.
func (c *calling) begin(ctx context.Context, session string, id any) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	key := callOf{session, id}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[callOf]context.CancelFunc{}
	}
	c.of[key] = cancel
	return ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.of, key)
		cancel()
	}
}

// cancel ends the call that a cancellation names, if it is one of these.
func (c *calling) cancel(session string, m *message) {
	var params struct {
		ID json.RawMessage `json:"requestId"`
	}
	var id any
	if json.Unmarshal(m.params, &params) != nil || !validID(params.ID) || json.Unmarshal(params.ID, &id) != nil {
		return // the library says so
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel := c.of[callOf{session, id}]; cancel != nil {
		cancel()
	}
}
