package mcpserver

import (
	"context"
	"net/http"
	"time"
)

// writeLimit is how long one write may take. A client that reads more slowly
// is gone: there is no time-out on whole answers, which may be streams.
const writeLimit = 10 * time.Second

// patientWriter sets a deadline before each write and ends the request's
// context when one fails, so that nothing goes on queueing for a reader that
// is not there.
type patientWriter struct {
	http.ResponseWriter
	rc     *http.ResponseController
	limit  time.Duration
	cancel context.CancelFunc
	begun  bool
}

// patient wraps an answer and its request. done is called at its end.
func patient(w http.ResponseWriter, r *http.Request, limit time.Duration) (pw *patientWriter, req *http.Request, done func()) {
	ctx, cancel := context.WithCancel(r.Context())
	pw = &patientWriter{ResponseWriter: w, rc: http.NewResponseController(w), limit: limit, cancel: cancel}
	return pw, r.WithContext(ctx), func() {
		pw.rest()
		cancel()
	}
}

// rest takes the last deadline away: it belongs to the connection, which the
// next request may share.
func (w *patientWriter) rest() {
	_ = w.rc.SetWriteDeadline(time.Time{}) // unsupported only by test recorders
}

// Unwrap is for http.ResponseController.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader adds what every answer here says. No page of another origin may
// read it, whatever the library would allow.
func (w *patientWriter) WriteHeader(status int) {
	w.begun = true
	h := w.Header()
	h.Del("Access-Control-Allow-Origin")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer with a deadline.
func (w *patientWriter) Write(b []byte) (int, error) {
	w.begin()
	_ = w.rc.SetWriteDeadline(time.Now().Add(w.limit))
	n, err := w.ResponseWriter.Write(b)
	if err != nil {
		w.cancel()
	}
	return n, err
}

// Flush implements http.Flusher with a deadline.
func (w *patientWriter) Flush() {
	w.begin()
	_ = w.rc.SetWriteDeadline(time.Now().Add(w.limit))
	if w.rc.Flush() != nil {
		w.cancel()
	}
}

func (w *patientWriter) begin() {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
}

// plainWriter hides Flush from the library, which then answers with JSON
// instead of a stream.
type plainWriter struct{ w http.ResponseWriter }

func (p plainWriter) Header() http.Header         { return p.w.Header() }
func (p plainWriter) WriteHeader(status int)      { p.w.WriteHeader(status) }
func (p plainWriter) Write(b []byte) (int, error) { return p.w.Write(b) }
