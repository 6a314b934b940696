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
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
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
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
		r.TransferEncoding = nil
		next.ServeHTTP(w, r)
	})
}

func refuseBody(w http.ResponseWriter, limit int64) {
	w.Header().Set("Connection", "close")
	WriteError(w, http.StatusRequestEntityTooLarge, swf.E(swf.CodeInvalidArgument,
		fmt.Sprintf("the request body is longer than %d bytes", limit), "send less at once"))
}
