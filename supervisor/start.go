package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"
)

// StartPrograms starts the named programs all at once and returns when one
// snapshot shows every one of them RUNNING. A name is "group:name", or a
// process's or a group's alone; what runs already counts as started. progress,
// which may be nil, gets each snapshot of them that differs from the last, from
// the caller's goroutine.
//
// Errors: *UnknownProgramError before anything is started; *StartError at the
// first program in BACKOFF, FATAL, EXITED or STOPPED, or after the largest
// startsecs + 20 s; otherwise as Observe. A context that ends stops the waiting,
// not the programs, and never while the request to start is under way. Nothing
// is undone.
func (d *Daemon) StartPrograms(ctx context.Context, names []string, progress func([]Process)) ([]Process, error) {
	specs, limit, refused, err := d.requestStart(ctx, names)
	if err != nil || len(specs) == 0 {
		return nil, err
	}
	began := time.Now()
	var last []Process
	for {
		asked := time.Now()
		all, err := d.observe(ctx)
		if err != nil {
			return last, err
		}
		ps := choose(all, specs)
		if progress != nil && !sameStates(ps, last) {
			progress(ps)
		}
		last = ps
		failed := startFailures(ps, refused)
		if len(failed) == 0 && allRunning(ps, specs) {
			return ps, nil
		}
		if len(failed) == 0 && time.Since(began) > limit {
			failed = lateFailures(ps, limit)
		}
		if len(failed) > 0 {
			return ps, &StartError{Programs: failed}
		}
		// Each question wakes supervisord and moves its states on, so asking
		// often is what makes the start quick; but not with all of its time.
		if err := pause(ctx, max(20*time.Millisecond, 3*time.Since(asked))); err != nil {
			return ps, err
		}
	}
}

// requestStart sends the one request that starts them all, and tells how long
// RUNNING may take and which were refused, by spec.
func (d *Daemon) requestStart(ctx context.Context, names []string) (
	specs []string, limit time.Duration, refused map[string]*Fault, err error,
) {
	release, err := d.act(ctx)
	if err != nil {
		return nil, 0, nil, err
	}
	defer release()
	all, err := d.observe(ctx)
	if err != nil {
		return nil, 0, nil, err
	}
	if specs, err = resolve(all, names); err != nil || len(specs) == 0 {
		return nil, 0, nil, err
	}
	settings, err := d.client.Settings(ctx)
	if err != nil {
		return nil, 0, nil, err
	}
	for _, s := range settings {
		if slices.Contains(specs, spec(s.Group, s.Name)) {
			limit = max(limit, seconds(s.StartSecs))
		}
	}
	limit += d.limits.start
	if err := ctx.Err(); err != nil {
		return nil, 0, nil, context.Cause(ctx)
	}
	// A request that is abandoned still acts, later than anybody expects: once
	// sent it is waited for, and a stop waits for us.
	results, err := d.client.StartAll(context.WithoutCancel(ctx), specs)
	d.spawned()
	if err != nil {
		return nil, 0, nil, err
	}
	refused = map[string]*Fault{}
	for i, r := range results {
		var f *Fault
		if errors.As(r, &f) && f.Code != FaultAlreadyStarted {
			refused[specs[i]] = f
		}
	}
	return specs, limit, refused, nil
}

// resolve turns names into specs, each once, in the order asked for.
func resolve(all []Process, names []string) ([]string, error) {
	var specs, unknown []string
	add := func(p Process) {
		if s := p.Spec(); !slices.Contains(specs, s) {
			specs = append(specs, s)
		}
	}
	for _, name := range names {
		found := false
		for _, match := range []func(Process) bool{
			func(p Process) bool { return p.Spec() == name || p.Group+":"+p.Name == name },
			func(p Process) bool { return p.Name == name },
			func(p Process) bool { return p.Group == name },
		} {
			for _, p := range all {
				if match(p) {
					add(p)
					found = true
				}
			}
			if found {
				break
			}
		}
		if !found {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		known := make([]string, len(all))
		for i, p := range all {
			known[i] = p.Spec()
		}
		sort.Strings(known)
		return nil, &UnknownProgramError{Names: unknown, Known: known}
	}
	return specs, nil
}

// choose picks the processes of specs, in that order.
func choose(all []Process, specs []string) []Process {
	out := make([]Process, 0, len(specs))
	for _, s := range specs {
		for _, p := range all {
			if p.Spec() == s {
				out = append(out, p)
			}
		}
	}
	return out
}

func allRunning(ps []Process, specs []string) bool {
	for _, p := range ps {
		if p.State != Running || p.PID == 0 {
			return false
		}
	}
	return len(ps) == len(specs)
}

// startFailures are those that will not be RUNNING, or were not let to.
func startFailures(ps []Process, refused map[string]*Fault) []Failure {
	var out []Failure
	for _, p := range ps {
		f := Failure{Process: p}
		switch {
		case refused[p.Spec()] != nil:
			f.Reason = refused[p.Spec()].Error()
			if p.SpawnErr != "" {
				f.Reason += ": " + p.SpawnErr
			}
		case p.State == Starting || p.State == Running:
			continue
		case p.State == Exited:
			f.Reason = fmt.Sprintf("EXITED with status %d", p.ExitStatus)
		case p.State == Stopped || p.State == Stopping:
			f.Reason = p.State.String() + ": stopped while it was started"
		default:
			f.Reason = p.State.String()
			if p.SpawnErr != "" {
				f.Reason += ": " + p.SpawnErr
			}
		}
		out = append(out, f)
	}
	return out
}

func lateFailures(ps []Process, limit time.Duration) []Failure {
	var out []Failure
	for _, p := range ps {
		if p.State != Running {
			out = append(out, Failure{Process: p, Reason: fmt.Sprintf("still %s after %s", p.State, limit)})
		}
	}
	return out
}
