package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// Orphan is a process that a supervisord at our address started, or that such a
// process started, and that the live supervisord, if there is one, does not
// know: left behind by one that was killed. So is a supervisord that Spawn
// executed and that has no socket yet, when who called Spawn was killed.
type Orphan struct {
	PID         int
	Name, Group string    // of the program it was or came from
	Start       time.Time // when it was forked
	Command     string    // its command line, shortened
	identity    identity
}

// Orphans looks for them in /proc: every process that carries
// SUPERVISOR_SERVER_URL or the mark of Spawn with our address in its environment
// and neither descends from the live supervisord nor is in its session. The
// caller and those above it never count. Programs with a serverurl= of their
// own are found where Spawn had started their supervisord.
func (d *Daemon) Orphans(ctx context.Context) ([]Orphan, error) {
	live, err := d.alive(ctx)
	if err != nil {
		return nil, err
	}
	return d.scan(live)
}

// KillOrphans ends them: each gets its program's stop signal, SIGKILL when its
// stopwaitsecs are over, and is waited for; and again until there are none. It
// returns those it ended. Errors: *StopError for those that do not die.
func (d *Daemon) KillOrphans(ctx context.Context) ([]Orphan, error) {
	release, err := d.act(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	live, err := d.alive(ctx)
	if err != nil {
		return nil, err
	}
	found, err := d.scan(live)
	if err != nil {
		return nil, err
	}
	return d.killOrphans(ctx, live, found)
}

// alive is the supervisord whose programs are no orphans, zero when there is
// none: one that answers, is hung or has lost its socket, but not one that has
// been killed and still closes its files.
func (d *Daemon) alive(ctx context.Context) (identity, error) {
	id, err := d.identify(ctx)
	if err == nil {
		return id, nil
	}
	if ctx.Err() != nil {
		return identity{}, err
	}
	id, found := d.locate()
	if !found || !errors.Is(err, ErrNotRunning) {
		return id, nil
	}
	h, err := hold(id)
	if err != nil {
		return identity{}, nil
	}
	defer h.Close()
	if d.waitFor(ctx, h, d.limits.lastWords) == nil {
		return identity{}, nil
	}
	return id, nil
}

// killOrphans ends what is found, and looks again until nothing is.
func (d *Daemon) killOrphans(ctx context.Context, live identity, found []Orphan) (ended []Orphan, err error) {
	for len(found) > 0 {
		if err := d.endAll(ctx, found); err != nil {
			return ended, err
		}
		ended = append(ended, found...)
		if found, err = d.scan(live); err != nil {
			return ended, err
		}
	}
	return ended, nil
}

// endAll ends each of them at the same time.
func (d *Daemon) endAll(ctx context.Context, orphans []Orphan) error {
	errs := make([]error, len(orphans))
	var wg sync.WaitGroup
	for i, o := range orphans {
		wg.Go(func() { errs[i] = d.end(ctx, o) })
	}
	wg.Wait()
	failed := &StopError{}
	for i, err := range errs {
		if err != nil {
			o := orphans[i]
			failed.Programs = append(failed.Programs, Failure{
				Process: Process{Name: o.Name, Group: o.Group, PID: o.PID, State: Unknown},
				Reason:  fmt.Sprintf("orphan (pid %d): %v", o.PID, err),
			})
		}
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if len(failed.Programs) > 0 {
		return failed
	}
	return nil
}

func (d *Daemon) end(ctx context.Context, o Orphan) error {
	h, err := hold(o.identity)
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.Close()
	// The same deafness between fork and exec as in a stop.
	if err := pause(ctx, d.limits.settle-max(0, o.identity.age())); err != nil {
		return err
	}
	if env, err := readEnviron(o.PID); err == nil && o.Name == "" {
		o.Name, o.Group = env["SUPERVISOR_PROCESS_NAME"], env["SUPERVISOR_GROUP_NAME"]
	}
	sig, patience := syscall.SIGTERM, 10*time.Second
	for _, p := range d.Conf().Programs {
		if p.Name == o.Name && p.Group == o.Group {
			sig, patience = p.StopSignal, seconds(p.StopWaitSecs)
		}
	}
	d.log.Info("ending an orphan", "pid", o.PID, "program", spec(o.Group, o.Name), "signal", sig)
	err = h.end(ctx, sig, patience, d.limits.stop)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// end sends sig, then SIGKILL when patience is over, and waits for the end for
// limit at most.
func (h *handle) end(ctx context.Context, sig syscall.Signal, patience, limit time.Duration) error {
	if err := h.signal(sig); err != nil {
		return err
	}
	gentle, cancel := context.WithTimeout(ctx, patience)
	err := h.wait(gentle)
	cancel()
	if err == nil || ctx.Err() != nil {
		return err
	}
	if err := h.signal(syscall.SIGKILL); err != nil {
		return err
	}
	hard, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not dead %s after SIGKILL", limit))
	defer cancel()
	return h.wait(hard)
}
