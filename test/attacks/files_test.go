package attacks

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/swf"
)

// hush is in the file that no answer may show.
const hush = "hush-hush-secret"

// Configuration names that lead elsewhere, and files that are no files: refused
// over every transport, without a word of what is in them, and nothing runs.
func TestAttack27ConfigNames(t *testing.T) {
	s := newSite(t, siteOptions{})
	a := s.startManager(ann)
	secret := filepath.Join(s.dir, "secret.toml")
	if err := os.WriteFile(secret, []byte("[testbed]\nnamespace = \""+hush+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(a.paths.Dir, "workflows", name) }
	for name, target := range map[string]string{"link.toml": secret, "zero.toml": "/dev/zero", "passwd.toml": "/etc/passwd", "self.toml": "self.toml"} {
		if err := os.Symlink(target, in(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(in("fifo.toml"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(in("folder.toml"), 0o700); err != nil {
		t.Fatal(err)
	}
	a.write("workflows/big.toml", strings.Repeat("a = 1\n", 300_000))
	a.write("workflows/deep.toml", "[a"+strings.Repeat(".a", 20_000)+"]\n")
	names := []string{"../../etc/passwd", "../secret", secret, "/etc/passwd", "a\x00b", "link", "zero", "passwd", "self", "fifo", "folder", "big", "deep", "-c", "..", "$(id)", "link.toml\n"}
	before := a.programs()
	everyTransport(t, s, func(t *testing.T, connect func(string) *client) {
		c := connect(ann)
		for _, name := range names {
			for tool, argument := range map[string]string{"start_user_testbed": "config_name", "start_workflow": "config"} {
				got, err := c.try(t, tool, map[string]any{argument: name})
				if err == nil && !got.Failed {
					t.Errorf("%s %q: %s", tool, name, got.Raw)
				}
				if text := got.Raw; strings.Contains(text, hush) || strings.Contains(text, "root:") {
					t.Errorf("%s %q shows what is in the file: %s", tool, name, text)
				}
			}
		}
	})
	if after := a.programs(); after != before {
		t.Errorf("%s became %s", before, after)
	}
}

// Names of programs, agents and workflows that another program would take for
// an option, a group or a path are refused over every transport.
func TestAttack30NamesOverEveryTransport(t *testing.T) {
	s := newSite(t, siteOptions{})
	a := s.startManager(ann)
	before := a.programs()
	everyTransport(t, s, func(t *testing.T, connect func(string) *client) {
		c := connect(ann)
		for _, name := range []string{"-c", "all", "group:*", "a b", "$(id)", "../../../tmp/evil", "data;id", "%(ENV_HOME)s", "data\nstart all"} {
			for tool, arguments := range map[string]map[string]any{
				"start_workflow": {"workflow_name": name},
				"get_agent_log":  {"program": name},
				"stop_workflow":  {"execution_id": name},
			} {
				if got, err := c.try(t, tool, arguments); err == nil && !got.Failed {
					t.Errorf("%s %q: %s", tool, name, got.Raw)
				}
			}
		}
	})
	if after := a.programs(); after != before {
		t.Errorf("%s became %s", before, after)
	}
}

// What a manager gives to its programs, as the kernel shows it: no secret of
// ours, nothing that makes a loader run code.
func TestAttack29EnvironmentOfRealPrograms(t *testing.T) {
	s := newSite(t, siteOptions{})
	needSupervisord(s)
	u := s.users[ann]
	u.makeFolder()
	u.write(".env", "LD_PRELOAD=/tmp/evil.so\nSWF_MCP_TOKEN="+hush+"\nSWF_CONTROL_KEY="+hush+"\nKEPT=yes\n")
	tb := manager.NewTestbed(manager.TestbedOptions{
		Username: ann, Paths: u.paths, Sources: config.Sources{Dir: u.paths.Dir},
		Environ: func(extra map[string]string) ([]string, error) {
			return config.Environment(config.EnvOptions{Dir: u.paths.Dir, User: ann, PreferFiles: true, Extra: extra, TestbedConfig: extra["SWF_TESTBED_CONFIG"],
				Inherited: []string{"PATH=" + os.Getenv("PATH"), "LD_AUDIT=/tmp/evil.so", "BASH_ENV=/tmp/evil.sh", "SWF_MONITOR_MCP_TOKEN=" + hush, "SUPERVISOR_SERVER_URL=unix:///tmp/evil"}})
		},
		Binary: func() (string, error) { return supervisor.FindBinary("", os.Getenv) },
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	started, err := tb.Start(ctx, manager.StartRequest{ID: "environment"})
	t.Cleanup(u.sweep)
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, p := range started.Programs {
		var env []byte
		for deadline := time.Now().Add(patience); !bytes.Contains(env, []byte("KEPT=yes\x00")); { // RUNNING comes before its exec
			if time.Now().After(deadline) {
				t.Fatalf("%s has not what .env gives it", p.Name)
			}
			if env, err = os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/environ"); err != nil {
				t.Fatal(err)
			}
		}
		for _, bad := range []string{hush, "evil", "LD_PRELOAD", "SWF_CONTROL_KEY"} {
			if bytes.Contains(env, []byte(bad)) {
				t.Errorf("%s has %s in its environment", p.Name, bad)
			}
		}
		looked++
	}
	if looked != 2 {
		t.Errorf("%d programs were looked at", looked)
	}
	_ = filepath.Walk(u.paths.State, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o022 != 0 && info.Mode().IsRegular() {
			t.Errorf("%s can be written by others (%v)", path, info.Mode())
		}
		return nil
	})
}

// A manager does not start in a place that others may change, and says how to
// mend it.
func TestAttack31ManagerRefusesOpenPlaces(t *testing.T) {
	for name, spoil := range map[string]func(u *user) string{
		"state folder":       func(u *user) string { return u.paths.State },
		"configuration":      func(u *user) string { u.write("c/server.toml", ""); return u.paths.ServerSettings() },
		"supervisord's file": func(u *user) string { return u.paths.SupervisordConf() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, siteOptions{})
			u := s.users[ann]
			u.makeFolder()
			u.write("s/journal.db", "")
			path := spoil(u)
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
			m := manager.New(manager.Options{Username: ann, Paths: u.paths, Testbed: u.testbed(), Broker: s.brokerOptions(), Keys: u.key.Ring, Log: s.log.logger()})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := m.Run(ctx)
			if e := swf.AsError(err); err == nil || e.Code != swf.CodeEnvironment || !strings.Contains(e.Message, path) || !strings.Contains(e.Hint, "chmod") {
				t.Errorf("%v, %+v", err, e)
			}
		})
	}
}
