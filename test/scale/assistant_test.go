package scale

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
)

// assistant is an MCP client of one user: one session, which it names to
// whatever server it reaches.
type assistant struct {
	number  int
	user    string
	token   string
	http    *http.Client
	session string
}

// newAssistant initializes a session at addr. Without keep each of its requests
// has a connection of its own, which a balancer may give to any server.
func newAssistant(t testing.TB, addr string, number int, token string, keep bool) *assistant {
	t.Helper()
	over := &http.Transport{DisableKeepAlives: !keep}
	t.Cleanup(over.CloseIdleConnections)
	a := &assistant{number: number, user: username(number), token: token, http: &http.Client{Transport: over}}
	_, header, err := a.post(t.Context(), addr, "initialize", map[string]any{"protocolVersion": mcp.LATEST_PROTOCOL_VERSION,
		"capabilities": map[string]any{}, "clientInfo": map[string]any{"name": "scale", "version": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if a.session = header.Get("Mcp-Session-Id"); a.session == "" {
		t.Fatal("initialize gave no session")
	}
	return a
}

// post sends a request and returns its result.
func (a *assistant) post(ctx context.Context, addr, method string, params any) (json.RawMessage, http.Header, error) {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return nil, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/mcp", bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Authorization", "Bearer "+a.token)
	if a.session != "" {
		r.Header.Set("Mcp-Session-Id", a.session)
	}
	resp, err := a.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, err
	}
	answer := string(text)
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		for line := range strings.Lines(string(text)) {
			if data, ok := strings.CutPrefix(line, "data:"); ok {
				answer = data // the last one is the answer
			}
		}
	}
	var said struct {
		Result json.RawMessage
		Error  json.RawMessage
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s: %s: %.500s", method, resp.Status, text)
	}
	if err := json.Unmarshal([]byte(answer), &said); err != nil || said.Error != nil {
		return nil, nil, fmt.Errorf("%s: %.500s: %w", method, text, err)
	}
	return said.Result, resp.Header, nil
}

// answer is what a tool says, as far as it matters here.
type answer struct {
	Alive     *bool  `json:"alive"`
	Username  string `json:"username"`
	State     string `json:"state"`
	Outcome   string `json:"outcome"`
	CommandID string `json:"command_id"`
	Command   *struct {
		CommandID string `json:"command_id"`
		Outcome   string `json:"outcome"`
	} `json:"command"`
	Monitor struct {
		Available bool `json:"available"`
	} `json:"monitor"`
	AgentManager struct {
		LastHeartbeat *string `json:"last_heartbeat"`
	} `json:"agent_manager"`
	LastHeartbeat *string `json:"last_heartbeat"`

	text string
}

// call calls a tool.
func (a *assistant) call(ctx context.Context, addr, tool string, arguments map[string]any) (answer, error) {
	var out answer
	result, _, err := a.post(ctx, addr, "tools/call", map[string]any{"name": tool, "arguments": arguments})
	if err != nil {
		return out, fmt.Errorf("%s of %s: %w", tool, a.user, err)
	}
	var r struct {
		StructuredContent json.RawMessage
		IsError           bool
	}
	if err := json.Unmarshal(result, &r); err != nil {
		return out, err
	}
	out.text = string(result)
	if r.IsError || json.Unmarshal(r.StructuredContent, &out) != nil {
		return out, fmt.Errorf("%s of %s: %.500s", tool, a.user, result)
	}
	return out, nil
}
