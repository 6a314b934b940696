package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// bodyTimeout bounds how long a client may take to send its body: a handler
// waiting for one holds a connection that others need.
const bodyTimeout = 10 * time.Second

// LimitBody reads the whole body, at most limit bytes, before next sees the
// request. A longer one is answered 413, one that comes too slowly 408, an
// encoded one (Content-Encoding) 415. next finds Content-Length set to what
// was read.
func LimitBody(next http.Handler, limit int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
			WriteError(w, http.StatusUnsupportedMediaType, swf.E(swf.CodeInvalidArgument,
				"encoded request bodies are not accepted", "send the body without Content-Encoding"))
			return
		}
		if r.ContentLength > limit {
			refuseBody(w, limit)
			return
		}
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout)) // unsupported only by test recorders
		body, err := readAll(http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
		if err == nil { // else the rest is not to be waited for either
			_ = rc.SetReadDeadline(time.Time{})
		}
		var tooLong *http.MaxBytesError
		switch {
		case errors.As(err, &tooLong):
			refuseBody(w, limit)
			return
		case err != nil:
			w.Header().Set("Connection", "close")
			WriteError(w, http.StatusRequestTimeout, swf.E(swf.CodeInvalidArgument,
				"the request body did not arrive whole", "send it again"))
			return
		}
		r.Body = newReadBody(body)
		r.ContentLength = int64(len(body))
		r.TransferEncoding = nil
		next.ServeHTTP(w, r)
	})
}

// trusted is how much room is made for a body because it says that it is that
// long. Longer ones get theirs as they come.
const trusted = 16 << 10

// readAll is io.ReadAll for a body that says how long it is (-1: it does not).
func readAll(body io.Reader, length int64) ([]byte, error) {
	if length < 0 || length > trusted {
		return io.ReadAll(body)
	}
	b := make([]byte, length)
	n, err := io.ReadFull(body, b)
	return b[:n], err
}

// readBody is a body in memory.
type readBody struct {
	bytes.Reader
	all []byte
}

func newReadBody(all []byte) *readBody {
	b := &readBody{all: all}
	b.Reset(all)
	return b
}

// Close implements io.Closer.
func (*readBody) Close() error { return nil }

// Body is the whole body of a request that LimitBody has let through, for the
// handler behind it; not to be changed, and nil for any other request. Who
// reads from r.Body gets it as well.
func Body(r *http.Request) []byte {
	if b, ok := r.Body.(*readBody); ok {
		return b.all
	}
	return nil
}

func refuseBody(w http.ResponseWriter, limit int64) {
	w.Header().Set("Connection", "close")
	WriteError(w, http.StatusRequestEntityTooLarge, swf.E(swf.CodeInvalidArgument,
		fmt.Sprintf("the request body is longer than %d bytes", limit), "send less at once"))
}
