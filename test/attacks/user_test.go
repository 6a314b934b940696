package attacks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/epic-swf/testbed/audit"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/swf"
)

// user is somebody with a token and a key; with a testbed and a manager once
// startManager was called.
type user struct {
	s        *site
	name     string
	token    string
	operator bool
	key      control.Key
	paths    config.Paths
}

func (u *user) principal() swf.Principal { return swf.Principal{Name: u.name, Operator: u.operator} }

// startManager makes the user's testbed folder, in the namespace ns-{name},
// and runs the agent manager in it until the site ends. It needs supervisord.
func (s *site) startManager(name string) *user {
	s.t.Helper()
	needSupervisord(s)
	u := s.users[name]
	u.makeFolder()
	ready, failed := make(chan struct{}), make(chan error, 1)
	m := manager.New(manager.Options{Username: name, Paths: u.paths, Testbed: u.testbed(), Broker: s.brokerOptions(), Keys: u.key.Ring,
		Monitor: s.monitorClient(), Ready: func() { close(ready) }, Log: s.log.logger().With("manager", name),
		Audit: audit.New("manager", s.trail, s.log.logger())})
	s.wait.Go(func() { failed <- m.Run(s.ctx) })
	s.t.Cleanup(u.sweep)
	select {
	case <-ready:
	case err := <-failed:
		s.t.Fatalf("the manager of %s: %v", name, err)
	}
	return u
}

func needSupervisord(s *site) {
	s.t.Helper()
	if _, err := supervisor.FindBinary("", os.Getenv); err != nil {
		if os.Getenv("CI") != "" {
			s.t.Fatal(err)
		}
		s.t.Skip("needs supervisord: ", err)
	}
}

// sweep ends what runs. Cleanups run last in, first out: the manager still lives.
func (u *user) sweep() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := u.testbed().Stop(ctx, nil); err != nil {
		u.s.t.Error("sweep: ", err)
	}
}

// makeFolder writes a testbed of two light programs: the workflow-runner, which
// only sleeps, and the agent "data".
func (u *user) makeFolder() {
	u.s.t.Helper()
	dir := filepath.Join(u.s.dir, u.name)
	u.paths = config.Paths{Dir: dir, State: filepath.Join(dir, "s"), Config: filepath.Join(dir, "c")}
	if err := u.paths.Make(); err != nil {
		u.s.t.Fatal(err)
	}
	conf := fmt.Sprintf(`[unix_http_server]
file=%[1]s/s/sup.sock
[supervisord]
pidfile=%%(here)s/sup.pid
logfile=%%(here)s/supervisord.log
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
`, dir)
	for _, program := range []string{"workflow-runner", "data-agent"} {
		conf += fmt.Sprintf("[program:%s]\ncommand=/bin/sleep 3600\nautostart=false\nautorestart=false\nstopwaitsecs=2\nstartsecs=0\nredirect_stderr=true\nstdout_logfile=%%(here)s/%[1]s.log\n", program)
	}
	u.write("agents.supervisord.conf", conf)
	u.write("workflows/testbed.toml", fmt.Sprintf("[testbed]\nnamespace = \"ns-%s\"\n[agents.data]\nenabled = true\nprogram = \"data-agent\"\n", u.name))
}

func (u *user) write(name, text string) {
	u.s.t.Helper()
	path := filepath.Join(u.paths.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		u.s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		u.s.t.Fatal(err)
	}
}

// testbed is the same for the manager and for a test that looks itself.
func (u *user) testbed() *manager.Testbed {
	return manager.NewTestbed(manager.TestbedOptions{
		Username: u.name, Paths: u.paths, Sources: config.Sources{Dir: u.paths.Dir},
		Environ: func(extra map[string]string) ([]string, error) {
			env := []string{"PATH=" + os.Getenv("PATH"), "USER=" + u.name, "SWF_HOME=" + filepath.Dir(u.paths.Dir)}
			for k, v := range extra {
				env = append(env, k+"="+v)
			}
			return env, nil
		},
		Binary: func() (string, error) { return supervisor.FindBinary("", os.Getenv) },
	})
}

// programs says what runs, as "name state pid", for a test to compare.
func (u *user) programs() string {
	u.s.t.Helper()
	ctx, cancel := context.WithTimeout(u.s.t.Context(), patience)
	defer cancel()
	r, err := u.testbed().Observe(ctx)
	if err != nil {
		u.s.t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range r.Programs {
		fmt.Fprintf(&b, "%s %s %d\n", p.Name, p.State, p.PID)
	}
	return b.String()
}
