package supervisor

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// StopPrograms stops every program and returns when one snapshot shows none
// active: STOPPED, EXITED, FATAL or UNKNOWN. It waits for a request to start
// that is under way, then overtakes the start. progress is as in StartPrograms,
// with all programs. Where no supervisord runs, or it is shutting down and so
// stops them itself, there is nothing to do: nil, nil. Their processes may be
// there all the same: Shutdown sees to them.
//
// Errors: *StopError after the largest stopwaitsecs + 10 s, by when supervisord
// should have killed them; ErrHung after 5 s without an answer.
func (d *Daemon) StopPrograms(ctx context.Context, progress func([]Process)) ([]Process, error) {
	release, err := d.act(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return d.stopPrograms(ctx, progress)
}

// stopPoll is how long a stop goes without asking supervisord while programs
// take their time to end.
const stopPoll = 50 * time.Millisecond

// stopper is the state of one stop.
type stopper struct {
	d        *Daemon
	began    time.Time
	limit    time.Duration
	settings map[string]Settings  // nil until a program takes its time
	stopping map[string]time.Time // since when, or when last signalled, by spec
	ended    map[int]bool         // pids whose end was seen
	idle     time.Duration        // how long to wait where there is no process to wait for
}

func (d *Daemon) stopPrograms(ctx context.Context, progress func([]Process)) ([]Process, error) {
	s := &stopper{d: d, began: time.Now(), stopping: map[string]time.Time{}, ended: map[int]bool{}, idle: 5 * time.Millisecond}
	d.rest(false)
	var last []Process
	for quiet := 0; ; {
		ps, err := d.observe(ctx)
		if errors.Is(err, ErrNotRunning) || errors.Is(err, ErrShuttingDown) {
			return nil, nil
		}
		if err != nil {
			return last, err
		}
		if progress != nil && !sameStates(ps, last) {
			progress(ps)
		}
		last = ps
		if len(active(ps)) == 0 {
			// What EXITED may be restarted, and the question just asked makes
			// supervisord do it: only a second look shows.
			if quiet++; quiet > 1 || !anyExited(ps) {
				d.rest(true)
				return ps, nil
			}
			continue
		}
		quiet = 0
		// One that is gone, or about to be, is found to be when it is asked again.
		if err := s.push(ctx, ps); err != nil && !errors.Is(err, ErrNotRunning) && !errors.Is(err, ErrShuttingDown) {
			return ps, err
		}
	}
}

// push does what one snapshot asks for and waits until it is time for the next:
// at once when all that were active have ended.
func (s *stopper) push(ctx context.Context, ps []Process) error {
	// Before that no signal is sent again and nothing is given up: most stops
	// need not ask supervisord how the programs are to be stopped.
	if s.settings == nil && time.Since(s.began) >= s.d.limits.sigAgain {
		if err := s.load(ctx); err != nil {
			return err
		}
	}
	if s.settings != nil && time.Since(s.began) > s.limit {
		return s.giveUp(ps)
	}
	ends := watch(ps, s.ended)
	defer ends.Close()
	if err := s.step(ctx, ps); err != nil {
		return err
	}
	if len(ends.fds) > 0 {
		return ends.wait(ctx, stopPoll, s.ended)
	}
	wait := s.idle
	s.idle = min(2*s.idle, stopPoll)
	return pause(ctx, wait)
}

// load reads the stop signals and how long the slowest program may take.
func (s *stopper) load(ctx context.Context) error {
	settings, err := s.d.client.Settings(ctx)
	if err != nil {
		return err
	}
	var slowest time.Duration
	s.settings = make(map[string]Settings, len(settings))
	for _, set := range settings {
		s.settings[spec(set.Group, set.Name)] = set
		slowest = max(slowest, seconds(set.StopWaitSecs))
	}
	s.limit = slowest + s.d.limits.stop
	return nil
}

// step asks for what is still wanting after one snapshot.
func (s *stopper) step(ctx context.Context, ps []Process) error {
	wanted := false
	for _, p := range ps {
		if p.State != Stopping {
			delete(s.stopping, p.Spec())
			wanted = wanted || p.Active()
			continue
		}
		since, seen := s.stopping[p.Spec()]
		if !seen {
			s.stopping[p.Spec()] = time.Now()
			continue
		}
		if time.Since(since) < s.d.limits.sigAgain {
			continue
		}
		if err := s.signalAgain(ctx, p); err != nil {
			return err
		}
	}
	if !wanted {
		return nil
	}
	if err := pause(ctx, s.d.unsettled(ps)); err != nil {
		return err
	}
	return s.d.client.StopAll(ctx)
}

// signalAgain repeats a stop signal that a child may have lost between fork and
// exec. After that every two seconds at most: a program that takes its time has
// heard it.
func (s *stopper) signalAgain(ctx context.Context, p Process) error {
	sig := s.settings[p.Spec()].StopSignal
	if sig == 0 {
		sig = syscall.SIGTERM
	}
	s.d.log.Info("stop signal sent again", "program", p.Spec(), "pid", p.PID, "signal", sig)
	s.stopping[p.Spec()] = time.Now().Add(2*time.Second - s.d.limits.sigAgain)
	err := s.d.client.Signal(ctx, p.Spec(), sig)
	var f *Fault
	if errors.As(err, &f) && f.Code != FaultShutdownState {
		return nil // it has just gone
	}
	return err
}

func (s *stopper) giveUp(ps []Process) error {
	e := &StopError{}
	for _, p := range active(ps) {
		e.Programs = append(e.Programs, Failure{Process: p, Reason: fmt.Sprintf("still %s after %s", p.State, s.limit)})
	}
	return e
}

// rest notes whether a stop has just seen all programs at rest, and returns
// what was noted before.
func (d *Daemon) rest(rested bool) (before bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before, d.rested = d.rested, rested
	return before
}

// unsettled is how long the youngest process still needs to hear its signals:
// what reaches a child between fork and exec is lost. The age comes from the
// kernel, so it holds for what somebody else started too.
func (d *Daemon) unsettled(ps []Process) time.Duration {
	d.mu.Lock()
	youngest := time.Since(d.lastSpawn)
	d.mu.Unlock()
	for _, p := range ps {
		if p.State != Starting && p.State != Running || p.PID == 0 {
			continue
		}
		if st, err := readStat(p.PID); err == nil {
			youngest = min(youngest, max(0, st.age()))
		}
	}
	return d.limits.settle - youngest
}

func anyExited(ps []Process) bool {
	for _, p := range ps {
		if p.State == Exited {
			return true
		}
	}
	return false
}
