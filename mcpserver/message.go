package mcpserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	Tool   string // that a tools/call calls
	Modern bool   // its _meta names protocol version 2026-07-28 or later
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
	top, err := checkKeys(raw)
	if err != nil {
		return message{}, &problem{mcp.INVALID_REQUEST, err.Error()}
	}
	m := message{ID: top["id"]}
	if v := top["method"]; len(v) > 0 && json.Unmarshal(v, &m.Method) != nil {
		return message{}, &problem{mcp.INVALID_REQUEST, "method must be a string"}
	}
	if !validID(m.ID) {
		return message{}, &problem{mcp.INVALID_REQUEST, "id must be a string of at most 256 bytes or an integer up to 2^53"}
	}
	if v := top["params"]; bytes.Contains(v, []byte("modelcontextprotocol")) || bytes.ContainsRune(v, '\\') {
		var params struct {
			Meta *mcp.Meta `json:"_meta"`
		}
		_ = json.Unmarshal(v, &params) // of another shape: the library says so
		m.Modern = mcp.IsModernProtocol(params.Meta.ProtocolVersion())
	}
	if m.Method == string(mcp.MethodToolsCall) {
		var params struct {
			Name string `json:"name"`
		}
		_ = json.Unmarshal(top["params"], &params) // of another shape: the library says so
		m.Tool = params.Name
	}
	return m, nil
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

// level is one open object or array.
type level struct {
	object bool
	keys   []string // folded; few, so they are compared one by one
	many   map[string]bool
}

// checkKeys walks over valid JSON and refuses what is no object, too deep or
// has too many keys, and keys that repeat in whatever case, hold a NUL, or are
// not those of JSON-RPC at the top. It returns the values at the top.
func checkKeys(raw []byte) (map[string]json.RawMessage, error) {
	var stack [maxDepth]level
	top := make(map[string]json.RawMessage, 4)
	depth, total, value := 0, 0, 0 // value is where the one under way at the top begins
	name := ""
	wantKey := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; c {
		case '{', '[':
			if depth == maxDepth {
				return nil, fmt.Errorf("the message is nested deeper than %d levels", maxDepth)
			}
			if depth == 0 && c == '[' {
				return nil, errNoObject
			}
			wantKey = c == '{'
			stack[depth] = level{object: wantKey, keys: stack[depth].keys[:0]}
			depth++
		case '}', ']', ',':
			if depth == 1 && name != "" {
				top[name] = bytes.TrimSpace(raw[value:i])
			}
			if c != ',' {
				depth--
			}
			wantKey = c == ',' && stack[depth-1].object
		case '"':
			end := stringEnd(raw, i)
			if wantKey {
				if total++; total > maxKeys {
					return nil, fmt.Errorf("the message has more than %d keys", maxKeys)
				}
				key := unquote(raw[i:end])
				if err := stack[depth-1].add(key, depth == 1); err != nil {
					return nil, err
				}
				if depth == 1 {
					name, value = key, end+bytes.IndexByte(raw[end:], ':')+1
				}
				wantKey = false
			}
			i = end - 1
		}
	}
	if depth == 0 && len(top) == 0 {
		return nil, errNoObject
	}
	return top, nil
}

var errNoObject = errors.New("the message is not a JSON-RPC 2.0 object; batches are not supported")

// add takes a key of the object.
func (l *level) add(key string, top bool) error {
	folded := fold(key)
	if top && !envelopeKeys[key] {
		return fmt.Errorf("%q is not a key of a JSON-RPC message", short(key))
	}
	if strings.IndexByte(key, 0) >= 0 {
		return errors.New("a key holds a NUL")
	}
	if l.many[folded] || (l.many == nil && slices.Contains(l.keys, folded)) {
		return fmt.Errorf("the key %q is there twice", short(key))
	}
	if l.keys = append(l.keys, folded); len(l.keys) == 16 {
		l.many = make(map[string]bool, 64)
		for _, k := range l.keys {
			l.many[k] = true
		}
	}
	if l.many != nil {
		l.many[folded] = true
	}
	return nil
}

// fold makes equal what encoding/json takes for equal.
func fold(key string) string { return strings.ToLower(strings.ToUpper(key)) }

func unquote(quoted []byte) string {
	for _, c := range quoted {
		if c == '\\' || c >= 0x80 {
			var s string
			_ = json.Unmarshal(quoted, &s) // it is valid
			return s
		}
	}
	return string(quoted[1 : len(quoted)-1])
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
