package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Shutdown ends supervisord and everything it started, and returns when all of
// it is gone: the process (by pidfd), then every process that carries its
// address in the environment. Programs that are active are stopped first. A
// supervisord that does not answer for 5 s is killed, and its programs ended as
// orphans. Its socket and pid file are removed where it could not. Succeeds
// when nothing is there.
//
// Errors: the context's; *StopError for processes that do not die;
// ErrForbidden and *ConfError when it is not ours.
func (d *Daemon) Shutdown(ctx context.Context) error {
	release, err := d.act(ctx)
	if err != nil {
		return err
	}
	defer release()
	forced, err := d.endSupervisord(ctx)
	if err != nil {
		return err
	}
	successor, err := d.tidy(ctx)
	if err != nil {
		return err
	}
	words := d.limits.lastWords
	if forced { // nobody has told the programs to end
		words = 0
	}
	left, err := d.awaitFamily(ctx, successor, words)
	if err != nil {
		return err
	}
	killed, err := d.killOrphans(ctx, successor, left)
	if len(killed) > 0 {
		d.log.Warn("processes outlived their supervisord and were ended", "count", len(killed))
	}
	return err
}

// endSupervisord returns when the process is gone, and whether it was killed.
func (d *Daemon) endSupervisord(ctx context.Context) (forced bool, err error) {
	for {
		id, probe := d.probe(ctx)
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if id.pid == 0 {
			if errors.Is(probe, ErrNotRunning) {
				return false, nil
			}
			return false, probe
		}
		hung := errors.Is(probe, ErrHung)
		if hung && d.patience() > 0 {
			continue // the probe itself has taken its time
		}
		h, err := hold(id)
		if errors.Is(err, errGone) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		defer h.Close()
		switch {
		case hung:
			return true, d.kill(ctx, h, "it does not answer")
		case errors.Is(probe, ErrNotRunning):
			return false, d.terminate(ctx, h)
		}
		return d.shutdown(ctx, h)
	}
}

// probe asks for the pid, and finds the process by other means where no pid is
// told. The error says what asking gave: nil, ErrHung, ErrNotRunning when its
// socket has gone, ErrShuttingDown.
func (d *Daemon) probe(ctx context.Context) (identity, error) {
	if err := d.Conf().checkSocket(); err != nil {
		return identity{}, err
	}
	asked := time.Now()
	pid, err := d.client.pidWithin(ctx, d.nextWait(0))
	d.heard(ctx, asked, err)
	if err == nil {
		if s, serr := readStat(pid); serr == nil && !s.gone() {
			d.remember(s.identity)
			return s.identity, nil
		}
		err = fmt.Errorf("supervisord calls itself pid %d, which is not a process here", pid)
		return identity{}, err
	}
	if errors.Is(err, ErrForbidden) {
		return identity{}, err
	}
	id, _ := d.locate()
	return id, err
}

// shutdown is the orderly way: programs, then supervisord, then its end. It
// turns to kill when supervisord stops answering on the way. Programs that were
// just seen at rest are not asked for again: supervisord itself stops what
// somebody may have started since.
func (d *Daemon) shutdown(ctx context.Context, h *handle) (forced bool, err error) {
	if !d.rest(false) {
		_, err := d.stopPrograms(ctx, nil)
		if errors.Is(err, ErrHung) {
			return true, d.kill(ctx, h, "it stopped answering")
		}
		var se *StopError
		if err != nil && !errors.As(err, &se) {
			return false, err
		}
	}
	err = d.client.Shutdown(ctx)
	switch {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case errors.Is(err, ErrHung):
		return true, d.kill(ctx, h, "it stopped answering")
	}
	// Not asked again before it is late: an RPC can disturb the end.
	if err := d.waitFor(ctx, h, d.limits.hung); err == nil || ctx.Err() != nil {
		return false, err
	}
	if _, err := d.client.State(ctx); errors.Is(err, ErrShuttingDown) {
		// It has slow programs that somebody started behind us.
		if err := d.waitFor(ctx, h, d.limits.shutdown); err == nil || ctx.Err() != nil {
			return false, err
		}
	}
	return true, d.kill(ctx, h, "it did not end")
}

// terminate ends a supervisord whose socket somebody removed.
func (d *Daemon) terminate(ctx context.Context, h *handle) error {
	d.log.Warn("supervisord lives without its socket; sending SIGTERM", "pid", h.pid)
	slowest := time.Duration(0)
	for _, p := range d.Conf().Programs {
		slowest = max(slowest, seconds(p.StopWaitSecs))
	}
	err := h.end(ctx, syscall.SIGTERM, slowest+d.limits.shutdown, d.limits.shutdown)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// kill ends the very process that h holds, at once.
func (d *Daemon) kill(ctx context.Context, h *handle, why string) error {
	d.log.Warn("killing supervisord", "pid", h.pid, "why", why)
	if err := h.signal(syscall.SIGKILL); err != nil {
		if errors.Is(err, errGone) {
			return nil
		}
		return fmt.Errorf("killing supervisord (pid %d): %w", h.pid, err)
	}
	return d.waitFor(ctx, h, d.limits.shutdown)
}

func (d *Daemon) waitFor(ctx context.Context, h *handle, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("supervisord (pid %d) still there after %s", h.pid, limit))
	defer cancel()
	return h.wait(ctx)
}

// tidy removes what a supervisord that was killed could not: its socket, when
// connecting is refused, and its pid file, when that names no live process.
// Where somebody has started another meanwhile, it touches nothing and says who
// that is: its programs are no orphans.
func (d *Daemon) tidy(ctx context.Context) (successor identity, err error) {
	conf := d.Conf()
	id, err := d.identify(ctx)
	switch {
	case ctx.Err() != nil:
		return identity{}, context.Cause(ctx)
	case err == nil:
		return id, nil
	case errors.Is(err, syscall.ECONNREFUSED):
		if err := conf.removeStale(); err != nil {
			return identity{}, err
		}
	case !errors.Is(err, ErrNotRunning):
		return identity{}, err
	}
	if pid := conf.pidFromFile(); pid > 0 {
		if s, err := readStat(pid); err != nil || s.gone() {
			if err := os.Remove(conf.PIDFile); err != nil && !errors.Is(err, os.ErrNotExist) {
				d.log.Warn("stale pid file stays", "file", conf.PIDFile, "error", err)
			}
		}
	}
	return identity{}, nil
}

// awaitFamily gives the last processes a moment to follow their supervisord, and
// lists those that have not.
func (d *Daemon) awaitFamily(ctx context.Context, live identity, words time.Duration) ([]Orphan, error) {
	until := time.Now().Add(words)
	for {
		left, err := d.scan(live)
		if err != nil || len(left) == 0 || time.Now().After(until) {
			return left, err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
}
