package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/web"
)

// site is a testbed folder with a broker that wants a login and a monitor that
// wants a token, as testbed doctor finds them.
type site struct {
	t       *testing.T
	work    string            // holds all of it
	dir     string            // the testbed folder
	env     map[string]string // of the doctor
	broker  *part
	monitor *part
}

func newSite(t *testing.T) *site {
	t.Helper()
	work := folder(t, "d")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := supervisor.FindBinary("", os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, work: work, dir: filepath.Join(work, "tb")}
	s.env = map[string]string{mark: work, "GORACE": raceOptions(), "HOME": work, "USER": me.Username, "PATH": os.Getenv("PATH"), "SWF_SUPERVISORD": binary,
		"XDG_STATE_HOME": filepath.Join(work, "state"), "XDG_CONFIG_HOME": filepath.Join(work, "config"),
		"ACTIVEMQ_USER": "ann", "ACTIVEMQ_PASSWORD": "right", "SWF_API_TOKEN": "right"}
	s.serveBroker()
	s.serveMonitor(0)
	if out, err := s.command("init", "tb").CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	return s
}

func (s *site) serveBroker() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.broker = run(ln.Addr().String(), func(ctx context.Context) error {
		return broker.New(broker.Options{Login: "ann", Passcode: "right"}).Serve(ctx, ln)
	})
	s.t.Cleanup(s.broker.stop)
	s.env["ACTIVEMQ_HOST"], s.env["ACTIVEMQ_PORT"], _ = net.SplitHostPort(s.broker.addr)
}

// serveMonitor serves one whose clock is ahead by that much.
func (s *site) serveMonitor(ahead time.Duration) {
	s.monitor.stop()
	opened, err := store.Open(context.Background(), store.Options{Path: filepath.Join(s.work, "monitor.db")})
	if err != nil {
		s.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(errors.Join(err, opened.Close()))
	}
	rest := api.New(api.Options{Store: opened, Token: "right"})
	server := &web.Server{Listener: ln, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ahead != 0 {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		}
		rest.ServeHTTP(w, r)
	})}
	s.monitor = run(ln.Addr().String(), func(ctx context.Context) error { return errors.Join(server.Run(ctx), opened.Close()) })
	s.t.Cleanup(s.monitor.stop)
	s.env["SWF_MONITOR_URL"] = "http://" + s.monitor.addr
}

func (s *site) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, ours("testbed"), args...)
	cmd.Dir = s.dir
	if args[0] == "init" {
		cmd.Dir = s.work
	}
	for name, value := range s.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// found is one finding of the doctor.
type found struct{ Check, Status, Found, Cure string }

// doctor runs it, and returns its findings and its exit code.
func (s *site) doctor() ([]found, int) {
	s.t.Helper()
	cmd := s.command("doctor", "--output", "json")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	var list []found
	if err := json.Unmarshal(out, &list); err != nil {
		s.t.Fatalf("%v\n%s%s", err, out, errs.String())
	}
	return list, cmd.ProcessState.ExitCode()
}

func (s *site) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.work, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) do(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// leave makes a socket that nobody listens at any more.
func (s *site) leave(path string) {
	s.t.Helper()
	s.do(os.MkdirAll(filepath.Dir(path), 0o700))
	ln, err := net.Listen("unix", path)
	s.do(err)
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	s.do(ln.Close())
}

func (s *site) paths() config.Paths {
	p, err := config.FindPaths(s.dir, func(name string) string { return s.env[name] })
	s.do(err)
	return p
}

// swap changes a text in a file of the testbed folder.
func (s *site) swap(name, old, replacement string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	text, err := os.ReadFile(path)
	s.do(err)
	if !strings.Contains(string(text), old) {
		s.t.Fatalf("%s has no %q", name, old)
	}
	s.do(os.WriteFile(path, []byte(strings.ReplaceAll(string(text), old, replacement)), 0o600))
}

func TestDoctorFindsNothingWhereNothingIsWrong(t *testing.T) {
	t.Parallel()
	needSupervisord(t)
	s := newSite(t)
	list, code := s.doctor()
	if code != 0 || len(list) < 18 {
		t.Errorf("exit %d, %d findings", code, len(list))
	}
	for _, f := range list {
		if want := map[string]string{"agent manager": "warning", "control queue": "skipped"}[f.Check]; f.Status != "ok" && f.Status != want {
			t.Errorf("%+v", f)
		}
	}
}

// faults are what is planted, one at a time, and what the doctor must say of it.
func faults() []struct {
	name          string
	plant         func(*site)
	check, status string
	says, cure    string
} {
	const failed, warning = "failed", "warning"
	return []struct {
		name          string
		plant         func(*site)
		check, status string
		says, cure    string
	}{
		{"no testbed folder", func(s *site) {
			s.do(os.MkdirAll(filepath.Join(s.work, "empty"), 0o700))
			s.dir = filepath.Join(s.work, "empty")
		},
			"folder", failed, "no testbed folder", "testbed init"},
		{"a .env that is no .env", func(s *site) { s.write("tb/.env", "SWF_MONITOR_URL='http://x\n") }, "environment", failed, ".env:1", ""},
		{"a state folder open to others", func(s *site) {
			s.do(errors.Join(os.MkdirAll(s.paths().State, 0o700), os.Chmod(s.paths().State, 0o777)))
		},
			"modes", failed, "open to others", "chmod 700"},
		{"a slip in manager.toml", func(s *site) { s.write("config/swf-testbed/manager.toml", "hartbeat = \"10s\"\n") }, "settings", failed, "hartbeat", "heartbeat"},
		{"a key that others can read", func(s *site) { s.do(os.Chmod(s.paths().ControlKey(), 0o644)) }, "control key", failed, "", "chmod"},
		{"no key", func(s *site) { s.do(os.Remove(s.paths().ControlKey())) }, "control key", warning, "not signed", "testbed init"},
		{"a slip in testbed.toml", func(s *site) { s.swap("workflows/testbed.toml", "namespace =", "nmaespace =") }, "configuration", failed, "nmaespace", "namespace"},
		{"no supervisord", func(s *site) { s.env["SWF_SUPERVISORD"] = "/no/such/supervisord" }, "supervisord", failed, "/no/such/supervisord", "apt-get install supervisor"},
		{"an old supervisord", func(s *site) {
			s.write("old", "#!/bin/sh\necho 3.4.0\n")
			s.do(os.Chmod(filepath.Join(s.work, "old"), 0o755))
			s.env["SWF_SUPERVISORD"] = filepath.Join(s.work, "old")
		}, "supervisord", failed, `version "3.4.0", and at least 4.0`, "pip install supervisor"},
		{"a supervisord file without its interface", func(s *site) { s.swap("agents.supervisord.conf", "[rpcinterface:supervisor]", "[rpcinterface:other]") },
			"supervisord.conf", failed, "[rpcinterface:supervisor]", "correct "},
		{"a program that the file lacks", func(s *site) {
			s.swap("agents.supervisord.conf", "[program:example-data-agent]", "[program:exmple-data-agent]")
		}, "supervisord.conf", failed, `no program "example-data-agent"`, `did you mean "exmple-data-agent"?`},
		{"a program that is not there", func(s *site) { s.swap("agents.supervisord.conf", ours("swf-agent"), "/no/such/swf-agent") }, "programs", failed, "/no/such/swf-agent", "make build"},
		{"a stale socket of supervisord", func(s *site) { p, err := s.paths().Socket("agents"); s.do(err); s.leave(p) }, "supervisord's socket", warning, "left from a supervisord", "testbed run replaces it"},
		{"a stale pid file", func(s *site) { s.write("tb/agents-supervisord.pid", "4194303\n") }, "supervisord's socket", warning, "4194303 is gone", "rm "},
		{"a stale socket of the manager", func(s *site) { p, err := s.paths().Socket("manager"); s.do(err); s.leave(p) }, "agent manager", warning, "left from a manager", "testbed agent-manager"},
		{"endpoints of a testbed up that is gone", func(s *site) {
			s.write("tb/run/endpoints.json", `{"broker":"127.0.0.1:1","monitor":"http://127.0.0.1:1","mcp":"http://127.0.0.1:1/mcp","token":"","pid":4194303,"started":"x","host":"x"}`)
		}, "testbed up", warning, "pid 4194303", "testbed up --dir"},
		{"no broker", func(s *site) { s.broker.stop() }, "broker", failed, "nothing answers", "ACTIVEMQ_HOST"},
		{"a wrong password", func(s *site) { s.env["ACTIVEMQ_PASSWORD"] = "wrong" }, "broker", failed, `as "ann"`, "ACTIVEMQ_PASSWORD"},
		{"a port that is none", func(s *site) { s.env["ACTIVEMQ_PORT"] = "stomp" }, "broker", failed, "stomp", "ACTIVEMQ_"},
		{"no monitor", func(s *site) { s.monitor.stop() }, "monitor", failed, "http://127.0.0.1", "SWF_MONITOR_URL"},
		{"a monitor that is not configured", func(s *site) { delete(s.env, "SWF_MONITOR_URL") }, "monitor", warning, "none is configured", "SWF_MONITOR_URL"},
		{"a wrong token", func(s *site) { s.env["SWF_API_TOKEN"] = "wrong" }, "monitor's token", failed, "refuses", "SWF_API_TOKEN"},
		{"a clock that is wrong", func(s *site) { s.serveMonitor(time.Minute) }, "clock", failed, "behind", "set the clock"},
	}
}

func TestDoctorFindsEachFaultAndItsCure(t *testing.T) {
	t.Parallel()
	needSupervisord(t)
	for _, tt := range faults() {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			tt.plant(s)
			list, code := s.doctor()
			if want := map[string]int{"failed": 1, "warning": 0}[tt.status]; code != want {
				t.Errorf("exit %d, not %d: %+v", code, want, list)
			}
			seen := false
			for _, f := range list {
				if f.Check == tt.check {
					seen = true
					if f.Status != tt.status || !strings.Contains(f.Found, tt.says) || !strings.Contains(f.Cure, tt.cure) || f.Cure == "" {
						t.Errorf("%+v", f)
					}
				}
			}
			if !seen {
				t.Errorf("no word of %s: %+v", tt.check, list)
			}
		})
	}
}
