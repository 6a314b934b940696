package web

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/epic-swf/testbed/swf"
)

// WriteError answers with status and {"error":{"code","message","hint"}}. The
// cause that err may carry is not written.
func WriteError(w http.ResponseWriter, status int, err *swf.Error) {
	WriteJSON(w, status, map[string]*swf.Error{"error": err})
}

// WriteJSON answers with status and v as JSON, not to be cached or sniffed. A
// value that cannot be encoded is a programming error and becomes a 500.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status = http.StatusInternalServerError
		body = []byte(`{"error":{"code":"internal","message":"the answer could not be encoded","hint":"look at the server's log"}}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone; there is nobody left to tell
}
