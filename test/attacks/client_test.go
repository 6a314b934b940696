package attacks

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
)

// everyTransport runs an attack over each transport in each protocol version
// that the server negotiates over it. connect opens a connection of a user; it
// ends with the subtest. Over stdio the user is the one who started the server.
func everyTransport(t *testing.T, s *site, attack func(t *testing.T, connect func(username string) *client)) {
	t.Helper()
	for _, tr := range transports {
		for _, version := range tr.versions {
			t.Run(tr.name+"/"+version, func(t *testing.T) {
				attack(t, func(username string) *client { return dial(t, s, tr, version, username) })
			})
		}
	}
}

// transport is a way to reach the server. open starts one connection; what the
// server says goes to c.heard.
type transport struct {
	name     string
	versions []string
	open     func(t testing.TB, c *client) wire
}

var transports = []transport{
	{"stdio", mcp.ValidProtocolVersions, openPipe},
	{"http", mcp.ValidProtocolVersions, openHTTP},
	{"sse", mcp.LegacyProtocolVersions(), openSSE},
}

// wire carries one message to the server.
type wire interface{ send(message []byte) error }

// client is an MCP client of few words: it sends what it is told to, correct
// or not, and is safe for concurrent use.
type client struct {
	s        *site
	username string
	version  string
	wire     wire

	// elicit answers the server's questions to the person; nil: the client
	// does not say that it can ask. Set it with can, before anything is sent.
	elicit func(params json.RawMessage) map[string]any

	mu      sync.Mutex
	lastID  int
	waiting map[string]chan reply
}

// reply is a JSON-RPC answer.
type reply struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"` // of what is no answer but a question
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *rpcError       `json:"error"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Message) }

// answer is what a tool answered.
type answer struct {
	Outcome   string         `json:"outcome"`
	CommandID string         `json:"command_id"`
	Error     *toolError     `json:"error"`
	Fields    map[string]any `json:"-"` // all of the structured content
	Text      string         `json:"-"`
	Failed    bool           `json:"-"`
	Raw       string         `json:"-"`
}

type toolError struct{ Code, Message, Hint string }

// code is the error's, "" if there is none.
func (a answer) code() string {
	if a.Error == nil {
		return ""
	}
	return a.Error.Code
}

// option changes a client before it says hello.
type option func(*client)

// asks makes a client that can ask its person.
func asks(elicit func(params json.RawMessage) map[string]any) option {
	return func(c *client) { c.elicit = elicit }
}

// dial connects as a client of that version does.
func dial(t testing.TB, s *site, tr transport, version, username string, options ...option) *client {
	t.Helper()
	c := &client{s: s, username: username, version: version, waiting: map[string]chan reply{}}
	for _, o := range options {
		o(c)
	}
	c.wire = tr.open(t, c)
	if c.modern() {
		return c
	}
	result, err := c.ask("initialize", map[string]any{"protocolVersion": version, "capabilities": c.capabilities(),
		"clientInfo": map[string]any{"name": "attack", "version": "1"}})
	if err != nil {
		t.Fatal("initialize: ", err)
	}
	var hello struct{ ProtocolVersion string }
	decode(t, result, &hello)
	if hello.ProtocolVersion != version {
		t.Fatalf("asked for version %s, got %s", version, hello.ProtocolVersion)
	}
	if err := c.wire.send([]byte(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) modern() bool { return mcp.IsModernProtocol(c.version) }

func (c *client) capabilities() map[string]any {
	if c.elicit == nil {
		return map[string]any{}
	}
	return map[string]any{"elicitation": map[string]any{}}
}

// ask sends a request and waits for its answer. In a modern version the params
// must be a map, or nil.
func (c *client) ask(method string, params map[string]any) (json.RawMessage, error) {
	if params == nil {
		params = map[string]any{}
	}
	if c.modern() {
		params["_meta"] = map[string]any{"io.modelcontextprotocol/protocolVersion": c.version,
			"io.modelcontextprotocol/clientCapabilities": c.capabilities()}
	}
	c.mu.Lock()
	c.lastID++
	id := fmt.Sprint(c.lastID)
	ch := make(chan reply, 1)
	c.waiting[id] = ch
	c.mu.Unlock()
	message, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": json.RawMessage(id), "method": method, "params": params})
	if err != nil {
		return nil, err
	}
	if err := c.wire.send(message); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case r := <-ch:
		if r.Error != nil {
			return nil, r.Error
		}
		return r.Result, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s was never answered", method)
	}
}

// heard takes one message of the server.
func (c *client) heard(raw []byte) {
	var r reply
	if json.Unmarshal(raw, &r) != nil || len(r.ID) == 0 {
		return // a notification
	}
	if r.Method != "" {
		go c.questioned(r)
		return
	}
	c.mu.Lock()
	ch := c.waiting[string(r.ID)]
	delete(c.waiting, string(r.ID))
	c.mu.Unlock()
	if ch != nil {
		ch <- r
	}
}

// questioned answers the server's own requests, as clients of old versions do.
func (c *client) questioned(r reply) {
	message := map[string]any{"jsonrpc": "2.0", "id": r.ID}
	if r.Method == string(mcp.MethodElicitationCreate) && c.elicit != nil {
		message["result"] = c.elicit(r.Params)
	} else {
		message["error"] = map[string]any{"code": mcp.METHOD_NOT_FOUND, "message": "this client does not do that"}
	}
	if b, err := json.Marshal(message); err == nil {
		_ = c.wire.send(b) // the server hears nothing then, and the test fails by that
	}
}

// call calls a tool. What the server asks for meanwhile is answered by elicit.
func (c *client) call(t testing.TB, tool string, arguments map[string]any) answer {
	t.Helper()
	a, err := c.try(t, tool, arguments)
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	return a
}

// try is call for what may be refused by the protocol itself.
func (c *client) try(t testing.TB, tool string, arguments any) (a answer, err error) {
	t.Helper()
	params := map[string]any{"name": tool, "arguments": arguments}
	for {
		result, err := c.ask("tools/call", params)
		if err != nil {
			return a, err
		}
		var r struct {
			Content           []struct{ Text string }
			StructuredContent json.RawMessage
			IsError           bool
			ResultType        string
			InputRequests     map[string]struct{ Params json.RawMessage }
			RequestState      string
		}
		decode(t, result, &r)
		if r.ResultType == string(mcp.ResultTypeInputRequired) && c.elicit != nil {
			answers := map[string]any{}
			for id, q := range r.InputRequests {
				answers[id] = c.elicit(q.Params)
			}
			params = map[string]any{"name": tool, "arguments": arguments, "inputResponses": answers, "requestState": r.RequestState}
			continue
		}
		a.Raw, a.Failed = string(result), r.IsError
		if len(r.StructuredContent) > 0 {
			decode(t, r.StructuredContent, &a)
			decode(t, r.StructuredContent, &a.Fields)
		}
		for _, part := range r.Content {
			a.Text += part.Text
		}
		return a, nil
	}
}

func decode(t testing.TB, raw []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
}

// lines feeds what the server writes, one message a line, to the client.
func (c *client) lines(r io.Reader) {
	d := json.NewDecoder(r)
	for {
		var raw json.RawMessage
		if d.Decode(&raw) != nil {
			return
		}
		c.heard(raw)
	}
}

// events feeds a stream of server-sent events to the client; other events
// than messages go to named.
func (c *client) events(r io.Reader, named func(event, data string)) {
	all := newEvents(r)
	for {
		event, data, ok := all.next()
		switch {
		case !ok:
			return
		case event == "" || event == "message":
			c.heard([]byte(data))
		case named != nil:
			named(event, strings.TrimSpace(data))
		}
	}
}
