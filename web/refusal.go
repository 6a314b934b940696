package web

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/epic-swf/testbed/swf"
)

// Refusal is a request that was answered with an error of the client's (4xx).
type Refusal struct {
	Who     string // the principal; empty: nobody knows
	Address string // of the peer, without the port
	Method  string
	Path    string // without the query, which may hold what is nobody's business
	Status  int
	More    int // further ones since the last that was told
}

// Refusals are told at this rate for each peer and status; a flood must not
// fill a disk.
const (
	refusalsPerSecond = 1
	refusalsBurst     = 20
	refusalsPeers     = 1024
)

type whoKey struct{}

// noteWho tells Refusals who is asking.
func noteWho(ctx context.Context, p swf.Principal) {
	if who, ok := ctx.Value(whoKey{}).(*string); ok {
		*who = p.Name
	}
}

// Refusals calls told for what next refuses, from the requests' own
// goroutines. It goes outside of all guards. A nil told makes it next itself.
func Refusals(next http.Handler, told func(Refusal)) http.Handler {
	if told == nil {
		return next
	}
	rate := NewRateLimiter(refusalsPerSecond, refusalsBurst, refusalsPeers)
	var untold atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var who string
		s := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(s, r.WithContext(context.WithValue(r.Context(), whoKey{}, &who)))
		if s.status < 400 || s.status >= 500 {
			return
		}
		address, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			address = r.RemoteAddr
		}
		if ok, _ := rate.Allow(address + " " + http.StatusText(s.status)); !ok {
			untold.Add(1)
			return
		}
		told(Refusal{Who: who, Address: address, Method: shorten(r.Method), Path: shorten(r.URL.Path), Status: s.status, More: int(untold.Swap(0))})
	})
}

func shorten(text string) string {
	if len(text) > 100 {
		return text[:100]
	}
	return text
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// Unwrap is for http.ResponseController.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}
