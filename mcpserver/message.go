package mcpserver

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
)

// Limits of one JSON-RPC message.
const (
	maxMessage = 1 << 20 // bytes
	maxDepth   = 32
	maxKeys    = 4096
)

// message is what the transports need to know of a JSON-RPC message before
// the library sees it.
type message struct {
	ID     json.RawMessage
	Method string
	Modern bool // its _meta names protocol version 2026-07-28 or later
}

// isCall reports whether an answer is due.
func (m *message) isCall() bool { return m.Method != "" && len(m.ID) > 0 }

// problem is a message that is not passed on, with its JSON-RPC error code.
type problem struct {
	code int
	text string
}

func (p *problem) Error() string { return p.text }

// reply is the JSON-RPC error that answers the message with that id.
func (p *problem) reply(id json.RawMessage) []byte {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	b, _ := json.Marshal(struct {
		JSONRPC string                  `json:"jsonrpc"`
		ID      json.RawMessage         `json:"id"`
		Error   mcp.JSONRPCErrorDetails `json:"error"`
	}{mcp.JSONRPC_VERSION, id, mcp.NewJSONRPCErrorDetails(p.code, p.text, nil)})
	return b
}

// readMessage refuses what two readers could understand differently: the
// library reads keys without regard to case, takes the last of two, and
// rounds big ids.
func readMessage(raw []byte) (message, *problem) {
	if !json.Valid(raw) {
		return message{}, &problem{mcp.PARSE_ERROR, "the message is not valid JSON"}
	}
	if err := checkKeys(raw); err != nil {
		return message{}, &problem{mcp.INVALID_REQUEST, err.Error()}
	}
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return message{}, &problem{mcp.INVALID_REQUEST, "the message is not a JSON-RPC 2.0 object; batches are not supported"}
	}
	if !validID(m.ID) {
		return message{}, &problem{mcp.INVALID_REQUEST, "id must be a string of at most 256 bytes or an integer up to 2^53"}
	}
	var params struct {
		Meta *mcp.Meta `json:"_meta"`
	}
	_ = json.Unmarshal(m.Params, &params) // of another shape: the library says so
	return message{ID: m.ID, Method: m.Method, Modern: mcp.IsModernProtocol(params.Meta.ProtocolVersion())}, nil
}

func validID(id json.RawMessage) bool {
	if len(id) == 0 {
		return true
	}
	if id[0] == '"' {
		return len(id) <= 258
	}
	n, err := strconv.ParseInt(string(id), 10, 64)
	return err == nil && n >= -1<<53 && n <= 1<<53
}

var envelopeKeys = map[string]bool{"jsonrpc": true, "id": true, "method": true, "params": true, "result": true, "error": true}

// checkKeys walks over valid JSON and refuses what is too deep or has too many
// keys, and keys that repeat in whatever case, hold a NUL, or are not those of
// JSON-RPC at the top.
func checkKeys(raw []byte) error {
	var stack []map[string]bool // the keys of each open object; nil for an array
	total := 0
	wantKey := false
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			if len(stack) == maxDepth {
				return fmt.Errorf("the message is nested deeper than %d levels", maxDepth)
			}
			var keys map[string]bool
			if wantKey = raw[i] == '{'; wantKey {
				keys = make(map[string]bool, 4)
			}
			stack = append(stack, keys)
		case '}', ']':
			stack = stack[:len(stack)-1]
			wantKey = false
		case ',':
			wantKey = stack[len(stack)-1] != nil
		case '"':
			end := stringEnd(raw, i)
			if wantKey {
				if total++; total > maxKeys {
					return fmt.Errorf("the message has more than %d keys", maxKeys)
				}
				if err := addKey(stack, raw[i:end]); err != nil {
					return err
				}
				wantKey = false
			}
			i = end - 1
		}
	}
	return nil
}

func addKey(stack []map[string]bool, quoted []byte) error {
	var key string
	if err := json.Unmarshal(quoted, &key); err != nil {
		return err
	}
	folded := strings.ToLower(key)
	keys := stack[len(stack)-1]
	switch {
	case strings.ContainsRune(key, 0):
		return fmt.Errorf("a key holds a NUL")
	case keys[folded]:
		return fmt.Errorf("the key %q is there twice", short(key))
	case len(stack) == 1 && !envelopeKeys[key]:
		return fmt.Errorf("%q is not a key of a JSON-RPC message", short(key))
	}
	keys[folded] = true
	return nil
}

func short(s string) string {
	if len(s) > 40 {
		return s[:40]
	}
	return s
}

// stringEnd returns the index behind the string that begins at i.
func stringEnd(raw []byte, i int) int {
	for i++; raw[i] != '"'; i++ {
		if raw[i] == '\\' {
			i++
		}
	}
	return i + 1
}
