package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is one configuration in a folder of its own and its Daemon.
type rig struct {
	*Daemon
	t   *testing.T
	dir string
	env []string
}

// supervisordBinary is the real one, or the test is skipped; not in CI.
func supervisordBinary(t *testing.T) string {
	t.Helper()
	bin, err := FindBinary("", os.Getenv)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("no supervisord: ", err)
	}
	return bin
}

// newRig writes a configuration with the given programs: name, then its lines.
func newRig(t *testing.T, programs ...string) *rig {
	t.Helper()
	bin := supervisordBinary(t)
	dir, err := os.MkdirTemp("", "sv") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := "[unix_http_server]\nfile=%(here)s/s.sock\n" +
		"[supervisord]\nlogfile=%(here)s/logs/supervisord.log\npidfile=%(here)s/supervisord.pid\n" +
		"[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
	return newRigConf(t, bin, dir, conf+programSections(programs))
}

func programSections(programs []string) string {
	var b strings.Builder
	for i := 0; i+1 < len(programs); i += 2 {
		fmt.Fprintf(&b, "[program:%s]\nautostart=false\nstopsignal=QUIT\nstartsecs=0\n"+
			"redirect_stderr=true\nstdout_logfile=%%(here)s/logs/%s.log\n%s\n", programs[i], programs[i], programs[i+1])
	}
	return b.String()
}

func newRigConf(t *testing.T, bin, dir, conf string) *rig {
	t.Helper()
	path := filepath.Join(dir, "agents.supervisord.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "USER=tester"}
	r := &rig{t: t, dir: dir, env: env}
	r.Daemon = r.again(bin)
	t.Cleanup(r.clean)
	return r
}

// again is another Daemon for the same configuration, that knows nothing yet.
func (r *rig) again(bin string) *Daemon {
	r.t.Helper()
	d, err := New(Options{Conf: filepath.Join(r.dir, "agents.supervisord.conf"), Binary: bin,
		Env: r.env, Log: slog.New(slog.NewTextHandler(testWriter{r.t}, nil))})
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// clean ends what the test left, by means of its own.
func (r *rig) clean() {
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if id, ok := r.locate(); ok {
			_ = syscall.Kill(id.pid, syscall.SIGKILL)
		}
		left, err := r.scan(identity{})
		if err != nil {
			r.t.Error(err)
		}
		for _, o := range left {
			_ = syscall.Kill(o.PID, syscall.SIGKILL)
		}
		if _, ok := r.locate(); !ok && len(left) == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.t.Error("processes left behind")
}

func (r *rig) spawn() {
	r.t.Helper()
	if err := r.Spawn(r.ctx(), r.env); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) start(names ...string) []Process {
	r.t.Helper()
	ps, err := r.StartPrograms(r.ctx(), names, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return ps
}

func (r *rig) shutdownNow() {
	r.t.Helper()
	if err := r.Shutdown(r.ctx()); err != nil {
		r.t.Fatal(err)
	}
}

// pid is the live supervisord's.
func (r *rig) pid() int {
	r.t.Helper()
	pid, err := r.PID(r.ctx())
	if err != nil {
		r.t.Fatal(err)
	}
	return pid
}

// ctx ends with the test, or when it must be stuck.
func (r *rig) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	r.t.Cleanup(cancel)
	return ctx
}

// eventually waits for something that no call reports.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// loops waits until a shell that has set its trap is in its loop: it is RUNNING,
// and would die of its signal, a moment before.
func (r *rig) loops(p Process) {
	r.t.Helper()
	eventually(r.t, p.Name+" is in its loop", func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.PID))
		return err == nil && len(children) > 0
	})
}

// executed waits until programs bear the mark of their supervisord: they are
// RUNNING before they are executed, and have its environment until then.
func (r *rig) executed(ps ...Process) {
	r.t.Helper()
	for _, p := range ps {
		eventually(r.t, p.Name+" is executed", func() bool {
			env, err := readEnviron(p.PID)
			return err == nil && env["SUPERVISOR_SERVER_URL"] == r.Conf().ServerURL
		})
	}
}

func gonePID(pid int) bool {
	s, err := readStat(pid)
	return err != nil || s.gone()
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

func logWords(text string) []string { return strings.Fields(text) }
