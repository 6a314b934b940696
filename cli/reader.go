package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// whileFollowed returns a context that ends when nobody follows the command any
// more: what it writes is no longer read ("testbed demo | head"), or its terminal
// is closed. Either would kill the process, and leave supervisord and the agents
// with nobody to stop them. Who says nohup is not asked for a terminal. The
// caller calls stop when the command is done.
func (a *app) whileFollowed(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	// Who listens for SIGPIPE is not killed by it: the write fails, and says
	// so. To ignore it would do too, but be inherited by every program.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	a.out, a.err = telling(a.out, cancel), telling(a.err, cancel)
	unhung := func() {}
	if !signal.Ignored(syscall.SIGHUP) {
		ctx, unhung = signal.NotifyContext(ctx, syscall.SIGHUP)
	}
	return ctx, func() {
		unhung()
		cancel()
		signal.Stop(broken)
	}
}

// followed is a stream that tells when nobody reads it any more.
type followed struct {
	io.Writer
	gone func()
}

// telling leaves terminals as they are: their end is a signal.
func telling(w io.Writer, gone func()) io.Writer {
	if isTerminal(w) {
		return w
	}
	return &followed{Writer: w, gone: gone}
}

// Write implements io.Writer.
func (f *followed) Write(b []byte) (int, error) {
	n, err := f.Writer.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		f.gone()
	}
	return n, err
}
