package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"
)

// A stop that follows a start at once kills nobody: every program hears its own
// signal, and says so.
func TestStopRightAfterStart(t *testing.T) {
	t.Parallel()
	var programs []string
	var names []string
	for i := range 6 {
		names = append(names, fmt.Sprintf("p%d", i))
		programs = append(programs, names[i], sleeper)
	}
	r := newRig(t, programs...)
	r.spawn()
	for range 5 {
		r.start(names...)
		began := time.Now()
		ps, err := r.StopPrograms(r.ctx(), nil)
		if err != nil || len(active(ps)) != 0 {
			t.Fatalf("StopPrograms = %v, %v", ps, err)
		}
		t.Log("stopped in ", time.Since(began))
		for _, p := range ps {
			if p.State != Stopped {
				t.Errorf("%s is %s", p.Name, p.State)
			}
			if p.SpawnErr != "" || p.ExitStatus != -1 {
				t.Logf("%+v", p)
			}
		}
		if killed(t, r) {
			t.Fatal("a program was killed, its stop signal was lost")
		}
	}
}

// killed tells whether supervisord had to send SIGKILL.
func killed(t *testing.T, r *rig) bool {
	t.Helper()
	text, err := tailFile(r.Conf().LogFile, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(logWords(text), "SIGKILL")
}

// A signal that a program misses is sent again, long before supervisord's KILL.
func TestStopSignalsAgain(t *testing.T) {
	t.Parallel()
	// The shell is deaf for the first signal, then dies of the next.
	r := newRig(t, "a", `command=/bin/sh -c 'trap "trap - QUIT" QUIT; while :; do sleep 0.05; done'`+"\nstopwaitsecs=20")
	r.spawn()
	p := r.start("a")[0]
	ps, err := r.StopPrograms(r.ctx(), nil)
	if err != nil || ps[0].State != Stopped || !gonePID(p.PID) {
		t.Fatalf("StopPrograms = %v, %v", ps, err)
	}
	if killed(t, r) {
		t.Error("it had to be killed")
	}
}

func TestStopOfDeafIsKill(t *testing.T) {
	t.Parallel()
	r := newRig(t, "deaf", `command=/bin/sh -c 'trap "" QUIT; while :; do sleep 1; done'`+"\nstopwaitsecs=1\nkillasgroup=true",
		"fine", sleeper)
	r.spawn()
	r.loops(r.start("deaf", "fine")[0])
	var states []State
	ps, err := r.StopPrograms(r.ctx(), func(ps []Process) { states = append(states, ps[0].State) })
	if err != nil || len(active(ps)) != 0 || !killed(t, r) {
		t.Fatalf("StopPrograms = %v, %v", ps, err)
	}
	if !slices.Contains(states, Stopping) || states[len(states)-1] != Stopped {
		t.Errorf("progress: %v", states)
	}
}

func TestStopGivesUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, "deaf", `command=/bin/sh -c 'trap "" QUIT; while :; do sleep 1; done'`+"\nstopwaitsecs=60")
	r.limits.stop = -59500 * time.Millisecond
	r.spawn()
	r.loops(r.start("deaf")[0])
	_, err := r.StopPrograms(r.ctx(), nil)
	var se *StopError
	if !errors.As(err, &se) || len(se.Programs) != 1 || se.Programs[0].State != Stopping {
		t.Fatalf("err = %v", err)
	}
}

// Programs that restart themselves, flap or have failed end at rest all the same.
func TestStopOfFlapping(t *testing.T) {
	t.Parallel()
	r := newRig(t, "again", "command=/bin/sleep 0.01\nautorestart=true",
		"flaps", "command=/bin/false\nstartsecs=1\nstartretries=1000",
		"fatal", "command=/bin/false\nstartsecs=1\nstartretries=0")
	r.spawn()
	for _, name := range []string{"again", "flaps", "fatal"} {
		var se *StartError
		if _, err := r.StartPrograms(r.ctx(), []string{name}, nil); err != nil && !errors.As(err, &se) {
			t.Fatal(err)
		}
	}
	eventually(t, "fatal is FATAL", func() bool {
		ps, err := r.Observe(r.ctx())
		return err == nil && choose(ps, []string{"fatal"})[0].State == Fatal
	})
	ps, err := r.StopPrograms(r.ctx(), nil)
	if err != nil || len(active(ps)) != 0 || choose(ps, []string{"fatal"})[0].State != Fatal {
		t.Fatalf("StopPrograms = %v, %v", ps, err)
	}
	for range 5 { // and stay there
		if ps, err := r.Observe(r.ctx()); err != nil || len(active(ps)) != 0 {
			t.Fatalf("Observe = %v, %v", ps, err)
		}
	}
}

func TestStopOfHung(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper)
	r.spawn()
	r.start("a")
	r.limits.hung = time.Second
	kill(t, r.pid(), syscall.SIGSTOP)
	if _, err := r.StopPrograms(r.ctx(), nil); !errors.Is(err, ErrHung) {
		t.Fatalf("err = %v, want ErrHung", err)
	}
}

// While supervisord shuts down on somebody's order, every call is refused;
// Shutdown waits for its end.
func TestForeignShutdown(t *testing.T) {
	t.Parallel()
	r := newRig(t, "slow", `command=/bin/sh -c 'trap "" QUIT; while :; do sleep 1; done'`+"\nstopwaitsecs=2")
	r.spawn()
	r.loops(r.start("slow")[0])
	pid := r.pid()
	if err := r.Client().Shutdown(r.ctx()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Observe(r.ctx()); !errors.Is(err, ErrShuttingDown) {
		t.Fatalf("Observe = %v, want ErrShuttingDown", err)
	}
	if err := r.Spawn(r.ctx(), r.env); !errors.Is(err, ErrShuttingDown) {
		t.Fatalf("Spawn = %v, want ErrShuttingDown", err)
	}
	if ps, err := r.StopPrograms(r.ctx(), nil); ps != nil || err != nil {
		t.Fatalf("StopPrograms = %v, %v", ps, err)
	}
	if err := r.again("").Shutdown(r.ctx()); err != nil {
		t.Fatal(err)
	}
	if !gonePID(pid) {
		t.Error("still there")
	}
}
