package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStartFailures(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, lines, state, reason string
	}{
		{"exits", "command=/bin/sh -c 'echo no luck; exit 3'\nstartsecs=1", "BACKOFF", "Exited too quickly"},
		{"missing", "command=/no/such/program", "STOPPED", "NO_FILE"},
		{"notonpath", "command=nosuchprogramanywhere", "STOPPED", "NO_FILE"},
		{"plain", "command=%(here)s/agents.supervisord.conf", "STOPPED", "NOT_EXECUTABLE"},
		{"nodir", "command=/bin/sleep 1000\nstartsecs=1\ndirectory=/no/such/folder", "BACKOFF", "Exited too quickly"},
	}
	programs := []string{"fine", sleeper}
	for _, tt := range tests {
		programs = append(programs, tt.name, tt.lines)
	}
	r := newRig(t, programs...)
	r.spawn()
	r.start("fine")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := r.StartPrograms(r.ctx(), []string{"fine", tt.name}, nil)
			var se *StartError
			if !errors.As(err, &se) || len(se.Programs) != 1 {
				t.Fatalf("err = %v", err)
			}
			f := se.Programs[0]
			if f.Name != tt.name || f.State.String() != tt.state || !strings.Contains(f.Reason, tt.reason) ||
				!strings.Contains(err.Error(), tt.name) {
				t.Errorf("%+v", f)
			}
			if tt.name == "exits" {
				if text, err := r.Tail(f.Process, 1000); err != nil || !strings.HasPrefix(text, "no luck\n") {
					t.Errorf("Tail = %q, %v", text, err)
				}
			}
		})
	}
	ps, err := r.Observe(r.ctx())
	if err != nil || choose(ps, []string{"fine"})[0].State != Running {
		t.Error("what had started was not left running")
	}
	// After a failure the caller undoes; FATAL and EXITED stay as they are.
	if ps, err := r.StopPrograms(r.ctx(), nil); err != nil || len(active(ps)) != 0 {
		t.Errorf("StopPrograms = %v, %v", ps, err)
	}
}

// A program that ends while the start waits for others has failed too.
func TestStartExited(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ends", "command=/bin/sh -c 'sleep 0.2; exit 4'\nautorestart=false", "slow", sleeper+"\nstartsecs=60")
	r.spawn()
	_, err := r.StartPrograms(r.ctx(), []string{"ends", "slow"}, nil)
	var se *StartError
	if !errors.As(err, &se) || len(se.Programs) != 1 || se.Programs[0].Reason != "EXITED with status 4" {
		t.Fatalf("err = %v", err)
	}
}

// A program whose folder for logs has gone fails at once, with supervisord's words.
func TestStartWithoutLogFolder(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper+"\nstdout_logfile=%(here)s/gone/a.log")
	r.spawn()
	if err := os.RemoveAll(filepath.Join(r.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	_, err := r.StartPrograms(r.ctx(), []string{"a"}, nil)
	var se *StartError
	if !errors.As(err, &se) || !strings.Contains(se.Programs[0].Reason, "SPAWN_ERROR") {
		t.Fatalf("err = %v", err)
	}
}

func TestStartUnknown(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper, "b", sleeper)
	r.spawn()
	_, err := r.StartPrograms(r.ctx(), []string{"a", "nope", "no:pe"}, nil)
	var ue *UnknownProgramError
	if !errors.As(err, &ue) || len(ue.Names) != 2 || strings.Join(ue.Known, " ") != "a b" {
		t.Fatalf("err = %v", err)
	}
	if ps, err := r.Observe(r.ctx()); err != nil || len(active(ps)) != 0 {
		t.Error("something was started")
	}
	if ps, err := r.StartPrograms(r.ctx(), nil, nil); ps != nil || err != nil {
		t.Errorf("nothing = %v, %v", ps, err)
	}
	if _, err := newRig(t).StartPrograms(r.ctx(), []string{"a"}, nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("without supervisord = %v", err)
	}
}

func TestStartNamesOfGroups(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper, "b", sleeper, "many", sleeper+"\nnumprocs=3\nprocess_name=%(program_name)s_%(process_num)02d",
		"c", sleeper+"\n[group:g]\nprograms=a,b")
	r.spawn()
	if ps := r.start("a", "g:a"); len(ps) != 1 || ps[0].Spec() != "g:a" {
		t.Fatalf("%+v", ps)
	}
	if ps := r.start("many", "g", "c"); len(ps) != 6 {
		t.Fatalf("%+v", ps)
	}
}

// A program that never becomes RUNNING ends the start, not the test's patience.
func TestStartTooSlow(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper+"\nstartsecs=60")
	r.limits.start = -59500 * time.Millisecond
	r.spawn()
	_, err := r.StartPrograms(r.ctx(), []string{"a"}, nil)
	var se *StartError
	if !errors.As(err, &se) || !strings.Contains(se.Programs[0].Reason, "still STARTING") {
		t.Fatalf("err = %v", err)
	}
}

// A context that ends stops the waiting and leaves the program; before the
// request it starts nothing.
func TestStartCancelled(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper+"\nstartsecs=60")
	r.spawn()
	ctx, cancel := context.WithCancel(r.ctx())
	_, err := r.StartPrograms(ctx, []string{"a"}, func(ps []Process) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v", err)
	}
	if ps, err := r.Observe(r.ctx()); err != nil || ps[0].State != Starting {
		t.Fatalf("Observe = %v, %v", ps, err)
	}
	if _, err := r.StartPrograms(ctx, []string{"a"}, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v", err)
	}
}

// A stop overtakes a start that waits, and the start says why it failed.
func TestStopOvertakesStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper+"\nstartsecs=300", "b", sleeper)
	r.spawn()
	begun := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		first := true
		_, err := r.StartPrograms(r.ctx(), []string{"a", "b"}, func([]Process) {
			if first {
				close(begun)
			}
			first = false
		})
		result <- err
	}()
	<-begun
	ps, err := r.StopPrograms(r.ctx(), nil)
	if err != nil || len(active(ps)) != 0 {
		t.Fatalf("StopPrograms = %v, %v", ps, err)
	}
	err = <-result
	var se *StartError
	if !errors.As(err, &se) || !strings.Contains(err.Error(), "stopped while it was started") {
		t.Fatalf("StartPrograms = %v", err)
	}
}

// supervisord dies, or hangs, while a start waits.
func TestSupervisordFailsDuringStart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sig  syscall.Signal
		want error
	}{{syscall.SIGKILL, ErrNotRunning}, {syscall.SIGSTOP, ErrHung}} {
		t.Run(tt.want.Error(), func(t *testing.T) {
			r := newRig(t, "a", sleeper+"\nstartsecs=300")
			r.spawn()
			pid := r.pid()
			if tt.sig == syscall.SIGSTOP {
				r.limits.hung = time.Second
			}
			_, err := r.StartPrograms(r.ctx(), []string{"a"}, func([]Process) { kill(t, pid, tt.sig) })
			if !errors.Is(err, tt.want) {
				t.Fatalf("err = %v, want %v", err, tt.want)
			}
			r.shutdownNow()
		})
	}
}
