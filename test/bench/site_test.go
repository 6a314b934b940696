package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/workflows"
)

// site is a testbed folder with programs that sleep, and the two ways to drive
// its supervisord: ours, and the least that could.
type site struct {
	t        testing.TB
	dir      string
	programs []string
	binary   string
	env      []string
}

const sleeper = "/bin/sleep 3600"

// newSite makes the folder. A testbed of them is the configuration "testbed".
func newSite(t testing.TB, dir string, programs []string) *site {
	t.Helper()
	binary, err := supervisor.FindBinary("", os.Getenv)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs supervisord: ", err)
	}
	s := &site{t: t, dir: dir, programs: programs, binary: binary}
	s.env = []string{"PATH=" + os.Getenv("PATH"), "USER=ann", "HOME=" + dir, "SWF_HOME=" + dir, "SWF_TESTBED_CONFIG=x", "SWF_START_ID=floor"}
	conf := fmt.Sprintf("[unix_http_server]\nfile=%s/sup.sock\n[supervisord]\npidfile=%%(here)s/sup.pid\nlogfile=%%(here)s/logs/supervisord.log\n"+
		"[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"+
		"[supervisorctl]\nserverurl=unix://%[1]s/sup.sock\n", dir)
	text := "[testbed]\nnamespace = \"bench\"\n\n[workflow]\nname = \"stf_datataking\"\n"
	for _, name := range append([]string{"workflow-runner"}, programs...) {
		conf += fmt.Sprintf("[program:%s]\ncommand=%s\nautostart=false\nautorestart=true\nstopsignal=QUIT\nstopwaitsecs=10\nstartsecs=1\nredirect_stderr=true\n"+
			"stdout_logfile=%%(here)s/logs/%[1]s.log\n", name, sleeper)
		if name != "workflow-runner" {
			text += fmt.Sprintf("\n[agents.%s]\nenabled = true\nprogram = %q\n", name, name)
		}
	}
	for name, text := range map[string]string{"agents.supervisord.conf": conf, "workflows/testbed.toml": text, "logs/.keep": ""} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// agents are so many names.
func agents(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("agent-%03d", i)
	}
	return names
}

func (s *site) testbed() *manager.Testbed {
	paths := config.Paths{Dir: s.dir, State: filepath.Join(s.dir, "s"), Config: filepath.Join(s.dir, "c")}
	if err := paths.Make(); err != nil {
		s.t.Fatal(err)
	}
	return manager.NewTestbed(manager.TestbedOptions{
		Username: "ann", Paths: paths, Sources: config.Sources{Dir: s.dir, Embedded: workflows.Files},
		Environ: func(extra map[string]string) ([]string, error) {
			env := s.env[:4:4]
			for k, v := range extra {
				env = append(env, k+"="+v)
			}
			slices.Sort(env) // as the real one is
			return env, nil
		},
		Binary: func() (string, error) { return s.binary, nil },
	})
}

// start and stop are ours.
func (s *site) start(tb *manager.Testbed) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := tb.Start(ctx, manager.StartRequest{ID: control.NewID(), ConfigName: "testbed"}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) stop(tb *manager.Testbed) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := tb.Stop(ctx, nil); err != nil {
		s.t.Error(err)
	}
}

func (s *site) rpc() *supervisor.Client {
	return supervisor.NewClient(supervisor.Endpoint{Network: "unix", Address: filepath.Join(s.dir, "sup.sock")})
}

// floorStart is supervisord alone: spawn it, its first answer, start all, all
// RUNNING.
func (s *site) floorStart() {
	cmd := exec.Command(s.binary, "-c", filepath.Join(s.dir, "agents.supervisord.conf"))
	cmd.Dir, cmd.Env = s.dir, s.env
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	ctx, c := context.Background(), s.rpc()
	if _, err := c.StartAll(ctx, append([]string{"workflow-runner"}, s.programs...)); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		all, err := c.Processes(ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		running := 0
		for _, p := range all {
			if p.State == supervisor.Running {
				running++
			}
		}
		if running == len(all) {
			return
		}
	}
	s.t.Fatal("not all RUNNING")
}

// floorStop is the slowest program's own exit and then supervisord's, by the
// signals alone.
func (s *site) floorStop() {
	ctx, c := context.Background(), s.rpc()
	all, err := c.Processes(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	daemon, err := c.PID(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.StopAll(ctx); err != nil {
		s.t.Fatal(err)
	}
	for _, p := range all {
		s.gone(p.PID)
	}
	if err := c.Shutdown(ctx); err != nil {
		s.t.Fatal(err)
	}
	s.gone(daemon)
}

// gone waits for a process's end.
func (s *site) gone(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, syscall.ESRCH) || pid == 0 {
		return
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer unix.Close(fd)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000); n > 0 {
			return
		}
	}
	s.t.Fatal("process ", pid, " does not end")
}
