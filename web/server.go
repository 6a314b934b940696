package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of every listener.
const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
	// DefaultMaxConns is the cap on connections where none is given.
	DefaultMaxConns = 256
	// DefaultGrace is how long requests may finish where nothing is given.
	DefaultGrace = 5 * time.Second
	// unwindTime is how long handlers whose connection was closed under them
	// may take to notice.
	unwindTime = 5 * time.Second
)

// Server serves Handler on Listener until its context ends. It has no write
// time-out, which would cut streams: handlers that stream set deadlines of
// their own.
type Server struct {
	Listener net.Listener
	Handler  http.Handler
	Grace    time.Duration // 0: DefaultGrace
	MaxConns int           // 0: DefaultMaxConns
	Log      *slog.Logger  // nil: nothing is logged

	// BeforeShutdown is called once when the context has ended, before the
	// listener closes. It ends what would otherwise outlive Grace: streams.
	BeforeShutdown func()
}

// Run serves until ctx ends, then lets requests finish for Grace, then closes
// what is left and cancels the requests' contexts. It closes the listener in
// any case, returns when no connection and no handler is left, and returns nil
// after an orderly end. No more than half of MaxConns are kept for their
// clients' next request; beyond MaxConns the oldest one that is in no handler is
// closed, so idle and slow clients make room for working ones.
func (s *Server) Run(ctx context.Context) error {
	log := s.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	conns := newConnTable(orDefault(s.MaxConns, DefaultMaxConns))
	var handlers inFlight
	hs := &http.Server{
		Handler:           conns.serving(&handlers, s.Handler),
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       conns.opened,
		ConnState:         conns.changed,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	hs.RegisterOnShutdown(conns.closeUnused)
	served := make(chan error, 1)
	go func() { served <- hs.Serve(s.Listener) }()

	var failure error
	select {
	case failure = <-served:
	case <-ctx.Done():
		if s.BeforeShutdown != nil {
			s.BeforeShutdown()
		}
		drain, done := context.WithTimeout(context.WithoutCancel(ctx), orDefault(s.Grace, DefaultGrace))
		if err := hs.Shutdown(drain); err != nil {
			log.Info("requests cut off at shutdown", "addr", s.Listener.Addr().String())
		}
		done()
		failure = <-served
	}
	// First the connections: a handler that returns because it was cancelled
	// must not answer with an empty success.
	_ = hs.Close() // closes what Shutdown left; its error is that of a closed listener
	cancel()
	if !handlers.wait(unwindTime) {
		return fmt.Errorf("web: a handler on %s did not end after its request was cut off", s.Listener.Addr())
	}
	if failure != nil && !errors.Is(failure, http.ErrServerClosed) {
		return fmt.Errorf("web: serve on %s: %w", s.Listener.Addr(), failure)
	}
	return nil
}

func orDefault[T int | time.Duration](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}
