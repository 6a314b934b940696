package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epic-swf/testbed/swf"
)

func TestManagerSettings(t *testing.T) {
	missing, err := LoadManagerSettings(filepath.Join(t.TempDir(), "manager.toml"))
	if err != nil || missing != DefaultManagerSettings() {
		t.Errorf("%+v, %v", missing, err)
	}
	all, err := LoadManagerSettings("testdata/good/manager/all.toml")
	check(t, err)
	want := ManagerSettings{AcceptUnsigned: true, LegacyWorkflowQueue: true, Heartbeat: 5 * time.Second, JournalDays: 14, LogLevel: "debug"}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	if _, err := LoadManagerSettings(t.TempDir()); !swf.IsCode(err, swf.CodeInvalidConfig) {
		t.Errorf("a folder: %v", err)
	}
}

func serverSettings(t *testing.T) ServerSettings {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("testdata/good/server/all.toml")
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "server.toml"), text, 0o600))
	s, err := LoadServerSettings(filepath.Join(dir, "server.toml"))
	check(t, err)
	return s
}

func TestControlQueues(t *testing.T) {
	s := serverSettings(t)
	for _, c := range []struct{ settings, user, env, want string }{
		{"default", "ann", "", "/queue/testbed.ann.control"},
		{"default", "ann", "/queue/agent_control.{username}", "/queue/agent_control.ann"},
		{"file", "ann", "", "/queue/agent_control.ann"},
		{"file", "bob", "/queue/x.{username}", "/queue/testbed.bob.control"},
		{"file", "ann", "/queue/*", ""},
		{"file", "ann", "/topic/{username}", ""},
		{"file", "ann", "/queue/{username},/queue/{username}", ""},
	} {
		settings := s
		if c.settings == "default" {
			settings = DefaultServerSettings()
		}
		got, err := settings.Queue(c.user, env(map[string]string{"SWF_CONTROL_QUEUE": c.env}))
		if got != c.want || (c.want == "") != swf.IsCode(err, swf.CodeEnvironment) {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}
