package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeBinary is a script in the place of supervisord, for what a real one
// does seldom.
func (r *rig) fakeBinary(script string) *Daemon {
	r.t.Helper()
	path := filepath.Join(r.dir, "fake")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		r.t.Fatal(err)
	}
	return r.again(path)
}

func TestSpawnErrors(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper)
	env := append(r.env, "API_TOKEN=abcdef123", "SITE=bnl")
	tests := []struct {
		name, script string
		code         int
		output, not  string
		is           error
	}{
		{"refuses", `echo "Error: Format string x with abcdef123 at bnl. Available names: ENV_A, ENV_B" >&2; echo "For help, use x -h"; exit 2`,
			2, "Format string x with <API_TOKEN> at bnl.", "ENV_A", nil},
		{"faster", "echo 'Error: Another program is already listening on a port'; exit 2", 2, "already listening", "", ErrAlreadyRunning},
		{"never ends", "echo waiting; touch waits; sleep 100 & wait", -1, "waiting", "", context.Canceled},
		{"much", "yes x | head -c 100000; exit 1", 1, "x", strings.Repeat("x\n", maxOutput), nil},
		{"never answers", "exit 0", 0, "", "", ErrNotRunning},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := r.fakeBinary(tt.script)
			d.limits.answer = 300 * time.Millisecond
			ctx := r.ctx()
			if tt.code == -1 {
				var cancel func()
				ctx, cancel = context.WithCancel(ctx)
				go func() {
					defer cancel()
					for ctx.Err() == nil {
						if _, err := os.Stat(filepath.Join(r.dir, "waits")); err == nil {
							return
						}
						time.Sleep(2 * time.Millisecond)
					}
				}()
			}
			err := d.Spawn(ctx, env)
			var se *SpawnError
			if !errors.As(err, &se) || se.ExitCode != tt.code || !strings.Contains(err.Error(), tt.output) {
				t.Fatalf("err = %v", err)
			}
			if tt.not != "" && strings.Contains(err.Error(), tt.not) {
				t.Errorf("err shows too much: %v", err)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("err = %v, want %v", err, tt.is)
			}
		})
	}
	d := r.fakeBinary("sleep 100 & wait")
	d.limits.spawn = 100 * time.Millisecond
	if err := d.Spawn(r.ctx(), env); err == nil || !strings.Contains(err.Error(), "not up after 100ms") {
		t.Errorf("own limit = %v", err)
	}
	var se *SpawnError
	if err := r.again(r.dir+"/none").Spawn(r.ctx(), env); !errors.As(err, &se) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no binary = %v", err)
	}
	if err := r.again("").Spawn(r.ctx(), env); !errors.Is(err, ErrNoBinary) {
		t.Errorf("no binary = %v", err)
	}
}

// What the real one does with a bad file, checked here for its message.
func TestSpawnRefusedByTheRealOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper+"\nuser=nobodyofthatname")
	err := r.Spawn(r.ctx(), r.env)
	var se *SpawnError
	if !errors.As(err, &se) || se.ExitCode != 2 || !strings.Contains(se.Output, "nobodyofthatname") {
		t.Fatalf("err = %v", err)
	}
}

func TestSpawnChecksFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper)
	conf := r.Conf()
	text, err := os.ReadFile(conf.Path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, conf.Path, strings.Replace(string(text), "[supervisord]", "[supervisord]\nnodaemon=true", 1))
	var ce *ConfError
	if err := r.Spawn(r.ctx(), r.env); !errors.As(err, &ce) || !strings.Contains(err.Error(), "nodaemon") {
		t.Errorf("nodaemon = %v", err)
	}
	write(t, conf.Path, strings.Replace(string(text), "s.sock", "%(ENV_USER)s.sock", 1))
	if err := r.Spawn(r.ctx(), r.env); !errors.As(err, &ce) || !strings.Contains(err.Error(), "but unix://") {
		t.Errorf("another socket = %v", err)
	}
	write(t, conf.Path, string(text))
	// Something else listens there and is no supervisord; and is hung.
	l, err := net.Listen("unix", conf.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r.client.timeout = 50 * time.Millisecond
	if err := r.Spawn(r.ctx(), r.env); !errors.Is(err, ErrHung) {
		t.Errorf("hung = %v", err)
	}
}

// A socket of another user is neither asked nor waited for.
func TestAttack31ForeignSocket(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper)
	l, err := net.Listen("unix", r.Conf().Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chown(r.Conf().Socket, 65534, 65534); err != nil {
		t.Skip("only root can give a file away: ", err)
	}
	_, observed := r.Observe(r.ctx())
	_, identified := r.Environ(r.ctx())
	for what, err := range map[string]error{
		"Observe": observed, "Environ": identified, "Spawn": r.Spawn(r.ctx(), r.env), "Shutdown": r.Shutdown(r.ctx()),
	} {
		if !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "belongs to another user") {
			t.Errorf("%s = %v, want ErrForbidden", what, err)
		}
	}
}

// Programs that supervisord starts by itself count as started, and a mark that
// we carry as a child of another supervisord does not spread.
func TestSpawnAutostart(t *testing.T) {
	t.Parallel()
	r := newRig(t, "auto", sleeper+"\nautostart=true")
	r.env = append(r.env, "SUPERVISOR_SERVER_URL="+r.Conf().ServerURL, "SUPERVISOR_PROCESS_NAME=x")
	r.spawn()
	if env, err := r.Environ(r.ctx()); err != nil || env["SUPERVISOR_SERVER_URL"] != "" || env["SUPERVISOR_PROCESS_NAME"] != "" {
		t.Errorf("environment = %v, %v", env, err)
	}
	p := r.start("auto")[0]
	if orphans, err := r.Orphans(r.ctx()); err != nil || len(orphans) != 0 {
		t.Errorf("Orphans = %v, %v", orphans, err)
	}
	r.shutdownNow()
	if !gonePID(p.PID) {
		t.Error("still there")
	}
}

// Two that start it at once: one succeeds, the other is told, one is there.
func TestSpawnTwiceAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper)
	errs := make(chan error, 2)
	for range 2 {
		d := r.again(r.opts.Binary)
		go func() { errs <- d.Spawn(r.ctx(), r.env) }()
	}
	a, b := <-errs, <-errs
	if a != nil {
		a, b = b, a
	}
	if a != nil || b != nil && !errors.Is(b, ErrAlreadyRunning) {
		t.Errorf("Spawn = %v and %v", a, b)
	}
	eventually(t, "one supervisord", func() bool { return len(supervisords(t, r.dir)) == 1 })
}

// supervisord and its programs outlive who started them, and hold none of its
// files open.
func TestSurvivesItsParent(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a", sleeper)
	lock := filepath.Join(r.dir, "lock")
	cmd := exec.Command(os.Args[0], "-test.run=^TestSurvivesItsParentHelper$")
	cmd.Env = append(os.Environ(), "SUPERVISOR_TEST_CONF="+r.Conf().Path, "SUPERVISOR_TEST_BINARY="+r.opts.Binary,
		"SUPERVISOR_TEST_LOCK="+lock)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("started")) {
		t.Fatalf("helper: %v\n%s", err, out)
	}
	ps, err := r.Observe(r.ctx())
	if err != nil || ps[0].State != Running {
		t.Fatalf("Observe = %v, %v", ps, err)
	}
	f, err := os.Open(lock)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("the lock of the dead parent is still held: %v", err)
	}
}

// TestSurvivesItsParentHelper is that parent. It dies by SIGKILL.
func TestSurvivesItsParentHelper(t *testing.T) {
	conf := os.Getenv("SUPERVISOR_TEST_CONF")
	if conf == "" {
		return // only a helper of the test above
	}
	f, err := os.Create(os.Getenv("SUPERVISOR_TEST_LOCK"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	d, err := New(Options{Conf: conf, Binary: os.Getenv("SUPERVISOR_TEST_BINARY")})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Spawn(t.Context(), os.Environ()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.StartPrograms(t.Context(), []string{"a"}, nil); err != nil {
		t.Fatal(err)
	}
	fmt.Println("started")
	kill(t, os.Getpid(), syscall.SIGKILL)
}
