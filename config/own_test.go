package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/swf"
)

// What decides for us or is secret is refused where others may change or read
// it, with the command that mends it, before anything is started.
func TestAttack31FilesOpenToOthers(t *testing.T) {
	nobody := func(path string) error { return os.Lchown(path, 65534, 65534) }
	mode := func(m os.FileMode) func(string) error { return func(path string) error { return os.Chmod(path, m) } }
	for _, c := range []struct {
		name, file string // below the testbed folder
		spoil      func(string) error
		hint       string
	}{
		{"state folder", "run/state", mode(0o777), "chmod 700"},
		{"state folder of a group", "run/state", mode(0o770), "chmod 700"},
		{"configuration folder", "run/config", mode(0o707), "chmod 700"},
		{"control key", "run/config/control.key", mode(0o640), "chmod 600"},
		{"token", "run/config/mcp.token", mode(0o604), "chmod 600"},
		{"passcode", "run/config/broker.passcode", mode(0o660), "chmod 600"},
		{"keyring", "run/config/keys/bob.key", mode(0o644), "chmod 600"},
		{"keyring's folder", "run/config/keys", mode(0o777), "chmod 700"},
		{"settings", "run/config/server.toml", mode(0o666), "chmod 600"},
		{"journal", "run/state/journal.db", mode(0o666), "chmod 600"},
		{"runner's key", "run/state/runner.key", mode(0o644), "chmod 600"},
		{"testbed folder", ".", mode(0o777), "chmod o-w"},
		{"supervisord's file", "agents.supervisord.conf", mode(0o666), "chmod o-w"},
		{"environment", ".env", mode(0o606), "chmod o-w"},
		{"configurations", "workflows", mode(0o777), "chmod o-w"},
		{"state folder of another", "run/state", nobody, "XDG_STATE_HOME"},
		{"key of another", "run/config/control.key", nobody, "chown"},
		{"journal of another", "run/state/journal.db", nobody, "chown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			p := UpPaths(dir)
			check(t, p.Make())
			for _, f := range []string{"run/config/control.key", "run/config/mcp.token", "run/config/broker.passcode", "run/config/keys/bob.key", "run/config/server.toml",
				"run/state/journal.db", "run/state/runner.key", "agents.supervisord.conf", ".env", "workflows/testbed.toml"} {
				check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o700))
				check(t, os.WriteFile(filepath.Join(dir, f), []byte("s3cret"), 0o600))
			}
			check(t, p.Make())
			if err := c.spoil(filepath.Join(dir, c.file)); os.IsPermission(err) {
				t.Skip("only root can give a file to somebody else")
			} else {
				check(t, err)
			}
			err := p.Make()
			if e := swf.AsError(err); err == nil || e.Code != swf.CodeEnvironment || !strings.Contains(e.Hint, c.hint) || !strings.Contains(e.Message, filepath.Join(dir, c.file)) || strings.Contains(e.Message, "s3cret") {
				t.Errorf("%v, %+v", err, e)
			}
		})
	}
}

// Settings say who may command: ones that anybody may write are not read.
func TestAttack31Settings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.toml")
	check(t, os.WriteFile(path, nil, 0o600))
	check(t, os.Chmod(path, 0o602))
	_, manager := LoadManagerSettings(path)
	_, server := LoadServerSettings(path)
	for _, err := range []error{manager, server} {
		if !swf.IsCode(err, swf.CodeEnvironment) || swf.AsError(err).Hint == "" {
			t.Errorf("%v", err)
		}
	}
}

// Endpoints decide where tokens are sent: nobody else's count.
func TestAttack31Endpoints(t *testing.T) {
	dir := t.TempDir()
	check(t, WriteEndpoints(dir, Endpoints{Broker: "127.0.0.1:1", Token: "s3cret"}))
	for _, m := range []os.FileMode{0o644, 0o620, 0o602} {
		check(t, os.Chmod(endpointsPath(dir), m))
		_, err := LiveEndpoints(dir)
		if e := swf.AsError(err); err == nil || !strings.Contains(e.Hint, "chmod 600") || strings.Contains(e.Message, "s3cret") {
			t.Errorf("%o: %v", m, err)
		}
	}
}

// Nothing that makes a loader or a shell run code, and no secret of ours,
// reaches supervisord and its programs, from wherever it comes.
func TestAttack29EnvironmentOfPrograms(t *testing.T) {
	poison := []string{"LD_PRELOAD=/tmp/evil.so", "LD_AUDIT=/tmp/evil.so", "DYLD_INSERT_LIBRARIES=/tmp/evil.so", "BASH_ENV=/tmp/evil.sh", "ENV=/tmp/evil.sh", "GCONV_PATH=/tmp",
		"SWF_MCP_TOKEN=s3cret", "SWF_MCP_TOKENS=s3cret", "SWF_MONITOR_MCP_TOKEN=s3cret", "MCP_BEARER_TOKEN=s3cret", "SWF_CONTROL_KEY=s3cret", "SWF_CONTROL_QUEUE=/queue/x.{username}",
		"SWF_KEYRING=s3cret", "SUPERVISOR_SERVER_URL=unix:///tmp/evil.sock", "BASH_FUNC_ls%%=() { evil; }"}
	for name, prefer := range map[string]bool{"inherited": false, "files win": true} {
		o := envFolders(t, strings.Join(poison[:8], "\n")+"\n", strings.Join(poison[8:14], "\n")+"\n")
		o.Inherited, o.PreferFiles = append([]string{"PATH=/usr/bin"}, poison...), prefer
		got, err := Environment(o)
		check(t, err)
		for _, kv := range got {
			if strings.Contains(kv, "evil") || strings.Contains(kv, "s3cret") || strings.HasPrefix(kv, "SWF_CONTROL") || strings.HasPrefix(kv, "GCONV") {
				t.Errorf("%s: %s", name, kv)
			}
		}
	}
}
