package mcpserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

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

	params json.RawMessage
	call   mcp.CallToolParams // of a tools/call that the library can read
	// plain is such a call without a wish for progress: its answer is all there
	// is to say.
	plain bool
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
	m := message{ID: top.id, params: top.params}
	if len(top.method) > 0 {
		if top.method[0] != '"' {
			return message{}, &problem{mcp.INVALID_REQUEST, "method must be a string"}
		}
		m.Method = unquote(top.method)
	}
	if !validID(m.ID) {
		return message{}, &problem{mcp.INVALID_REQUEST, "id must be a string of at most 256 bytes or an integer up to 2^53"}
	}
	if v := top.params; bytes.Contains(v, []byte("modelcontextprotocol")) || bytes.ContainsRune(v, '\\') {
		var params struct {
			Meta *mcp.Meta `json:"_meta"`
		}
		_ = json.Unmarshal(v, &params) // of another shape: the library says so
		m.Modern = mcp.IsModernProtocol(params.Meta.ProtocolVersion())
	}
	if m.Method == string(mcp.MethodToolsCall) {
		err := json.Unmarshal(top.params, &m.call) // of another shape: the library says so
		m.Tool = m.call.Name
		m.plain = err == nil && !wantsProgress(m.call.Meta) && len(m.ID) > 0 && string(top.version) == `"2.0"` && !top.answer
	}
	return m, nil
}

func wantsProgress(m *mcp.Meta) bool { return m != nil && m.ProgressToken != nil }

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

// envelope is the top of a message: the values that matter here, as they stand.
type envelope struct {
	version, id, method, params json.RawMessage
	answer                      bool // it has a result or an error
}

func (e *envelope) set(name, value []byte) {
	switch string(name) {
	case "id":
		e.id = value
	case "method":
		e.method = value
	case "params":
		e.params = value
	case "jsonrpc":
		e.version = value
	case "result", "error":
		e.answer = true
	}
}

// checkKeys walks over valid JSON and refuses what is no object, too deep or
// has too many keys, and keys that repeat in whatever case, hold a NUL, or are
// not those of JSON-RPC at the top, whose values it returns.
func checkKeys(raw []byte) (top envelope, _ error) {
	open := levels{keys: make([][]byte, 0, 12)}
	total, value := 0, 0 // value is where the one under way at the top begins
	var name []byte      // its key
	wantKey := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; c {
		case '{', '[':
			if open.depth == 0 && c == '[' {
				return top, errNoObject
			}
			wantKey = c == '{'
			if !open.push(wantKey) {
				return top, fmt.Errorf("the message is nested deeper than %d levels", maxDepth)
			}
		case '}', ']', ',':
			if open.depth == 1 && name != nil {
				top.set(name, bytes.TrimSpace(raw[value:i]))
			}
			if c != ',' {
				open.pop()
			}
			wantKey = c == ',' && open.inObject()
		case '"':
			end := stringEnd(raw, i)
			if wantKey {
				if total++; total > maxKeys {
					return top, fmt.Errorf("the message has more than %d keys", maxKeys)
				}
				key, err := open.add(raw[i:end])
				if err != nil {
					return top, err
				}
				if open.depth == 1 {
					name, value = key, end+bytes.IndexByte(raw[end:], ':')+1
				}
				wantKey = false
			}
			i = end - 1
		}
	}
	if name == nil {
		return top, errNoObject
	}
	return top, nil
}

var errNoObject = errors.New("the message is not a JSON-RPC 2.0 object; batches are not supported")

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
