package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epic-swf/testbed/swf"
)

func TestDotEnv(t *testing.T) {
	got, err := LoadDotEnv("testdata/good/env/all.env")
	check(t, err)
	want := map[string]string{
		"SWF_MONITOR_URL": "https://localhost:8443", "SWF_MONITOR_HTTP_URL": "http://localhost:8002", "PLAIN": "value", "INDENTED": "yes",
		"EMPTY": "", "COMMENTED": "", "HASH": "a#b", "FIRST_HASH": "#ff0000", "SINGLE": `one $HOME "two" # three\n`,
		"DOUBLE": `say "hi" to $USER \ and $HOME # four`, "NEWLINE": `a\nb`, "DOLLAR": "$HOME/bin", "EQUALS": "a=b=c", "TWICE": "2", "exported": "not a keyword",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	windows, err := parseDotEnv("x", "\ufeffA=1\r\nB=\"2\" # c\r\nC='3'\r\nD=4 # c\r\nE= \r\n")
	check(t, err)
	if diff := cmp.Diff(map[string]string{"A": "1", "B": "2", "C": "3", "D": "4", "E": ""}, windows); diff != "" {
		t.Error(diff)
	}
	if none, err := LoadDotEnv(filepath.Join(t.TempDir(), ".env")); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
	for name, text := range map[string]string{"binary": "A=\xff\xfe", "nul": "A=a\x00b", "huge": strings.Repeat("A=1\n", maxFile)} {
		path := filepath.Join(t.TempDir(), name)
		check(t, os.WriteFile(path, []byte(text), 0o600))
		if _, err := LoadDotEnv(path); !swf.IsCode(err, swf.CodeEnvironment) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// envFolders makes a home with a testbed folder in it, each with a .env.
func envFolders(t *testing.T, home, dir string) EnvOptions {
	t.Helper()
	h := t.TempDir()
	d := filepath.Join(h, "swf-testbed")
	check(t, os.Mkdir(d, 0o755))
	check(t, os.WriteFile(filepath.Join(h, ".env"), []byte(home), 0o600))
	check(t, os.WriteFile(filepath.Join(d, ".env"), []byte(dir), 0o600))
	return EnvOptions{Dir: d, Home: h, User: "ann", TestbedConfig: "/state/configs/x.toml"}
}

func TestEnvironmentPrecedence(t *testing.T) {
	o := envFolders(t, "BOTH=home\nHOME_ONLY=home\nALL=home\nSWF_HOME=/wrong\nUSER=wrong\n", "BOTH=folder\nALL=folder\nSWF_TESTBED_CONFIG=wrong\nPATH=$HOME/bin:$PATH\n")
	o.Inherited = []string{"ALL=shell", "PATH=/usr/bin", "SWF_HOME=/elsewhere", "SWF_TESTBED_CONFIG=old", "USER=eve", "ACTIVEMQ_HOST=far", "=C:=x"}
	for _, c := range []struct {
		prefer, drop bool
		all, host    string
	}{{false, false, "shell", "far"}, {true, false, "folder", "far"}, {true, true, "folder", ""}} {
		o.PreferFiles, o.DropInherited = c.prefer, c.drop
		e, err := LoadEnv(o)
		check(t, err)
		for key, want := range map[string]string{"BOTH": "folder", "HOME_ONLY": "home", "ALL": c.all, "PATH": "/usr/bin", "ACTIVEMQ_HOST": c.host,
			"SWF_HOME": o.Home, "USER": "ann", "SWF_TESTBED_CONFIG": "/state/configs/x.toml", "SWF_ENV_LOADED": "true"} {
			if got := e.Get(key); got != want {
				t.Errorf("prefer files %t: %s is %q from %s, want %q", c.prefer, key, got, e.From(key), want)
			}
		}
	}
}

func TestEnvironmentForPrograms(t *testing.T) {
	o := envFolders(t, "SWF_API_TOKEN=for-agents\nSWF_CONTROL_KEY_FILE=x\n", "")
	o.Inherited = []string{"PATH=/usr/bin", "SWF_MCP_TOKEN=s", "SWF_MONITOR_MCP_TOKEN=s", "SWF_CONTROL_KEY=s", "SWF_CONTROL_KEY_OLD=s", "SWF_KEYRING=s", "SUPERVISOR_SERVER_URL=unix:///x", "LANG=C"}
	o.Extra = map[string]string{"SWF_START_ID": "0197", "SWF_STATE_DIR": "/state"}
	bin := filepath.Join(o.Dir, ".venv", "bin")
	check(t, os.MkdirAll(bin, 0o755))
	got, err := Environment(o)
	check(t, err)
	want := []string{"LANG=C", "PATH=" + bin + ":/usr/bin", "SWF_API_TOKEN=for-agents", "SWF_ENV_LOADED=true", "SWF_HOME=" + o.Home, "SWF_START_ID=0197",
		"SWF_STATE_DIR=/state", "SWF_TESTBED_CONFIG=/state/configs/x.toml", "USER=ann", "VIRTUAL_ENV=" + filepath.Dir(bin)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	o.Inherited = got // a second time changes nothing
	if again, err := Environment(o); err != nil || !slices.Equal(got, again) {
		t.Errorf("%v, %v", again, err)
	}
	e, err := LoadEnv(EnvOptions{Dir: o.Dir, Inherited: []string{"SWF_MCP_TOKEN=s"}})
	check(t, err)
	if e.Get("SWF_MCP_TOKEN") != "s" {
		t.Error("our own programs must still find the token")
	}
}

func TestEnvironmentIsRefused(t *testing.T) {
	for name, change := range map[string]func(*EnvOptions){
		"quote":     func(o *EnvOptions) { o.TestbedConfig = `/a"b` },
		"newline":   func(o *EnvOptions) { o.TestbedConfig = "/a\nB=1" },
		"expansion": func(o *EnvOptions) { o.TestbedConfig = "/%(ENV_SECRET)s" },
		"no user":   func(o *EnvOptions) { o.User = "" },
		"no config": func(o *EnvOptions) { o.TestbedConfig = "" },
		"user":      func(o *EnvOptions) { o.User = "ann\"" },
		"nul":       func(o *EnvOptions) { o.Extra = map[string]string{"A": "a\x00b"} },
		"name":      func(o *EnvOptions) { o.Extra = map[string]string{"A=B": "c"} },
		"bad .env":  func(o *EnvOptions) { check(t, os.WriteFile(filepath.Join(o.Dir, ".env"), []byte("A='secret"), 0o600)) },
	} {
		o := envFolders(t, "", "")
		change(&o)
		list, err := Environment(o)
		if e := swf.AsError(err); err == nil || e.Code != swf.CodeEnvironment || e.Hint == "" || strings.Contains(e.Message, "secret") {
			t.Errorf("%s: %v, %+v", name, list, e)
		}
	}
}

func TestLiveEndpointsWin(t *testing.T) {
	o := envFolders(t, "", "SWF_MONITOR_URL=https://prod.example\n")
	o.Inherited = []string{"ACTIVEMQ_HOST=prod", "ACTIVEMQ_USER=u", "ACTIVEMQ_USE_SSL=true", "ACTIVEMQ_SSL_CA_CERTS=/ca", "SWF_API_TOKEN=prod"}
	check(t, WriteEndpoints(o.Dir, Endpoints{Broker: "127.0.0.1:4711", Monitor: "http://127.0.0.1:4712", MCP: "http://127.0.0.1:4713/mcp", Token: "mcp-token",
		BrokerLogin: "up", BrokerPasscode: "pass", MonitorToken: "mon"}))
	e, err := LoadEnv(o)
	check(t, err)
	for key, want := range map[string]string{"ACTIVEMQ_HOST": "127.0.0.1", "ACTIVEMQ_PORT": "4711", "ACTIVEMQ_USER": "up", "ACTIVEMQ_PASSWORD": "pass", "ACTIVEMQ_USE_SSL": "False",
		"ACTIVEMQ_SSL_CA_CERTS": "", "SWF_MONITOR_URL": "http://127.0.0.1:4712", "SWF_MONITOR_HTTP_URL": "http://127.0.0.1:4712", "SWF_API_TOKEN": "mon"} {
		if got := e.Get(key); got != want {
			t.Errorf("%s is %q from %s", key, got, e.From(key))
		}
	}
	for _, kv := range e.Programs() {
		if strings.Contains(kv, "mcp-token") {
			t.Errorf("the programs see the MCP token: %s", kv)
		}
	}
	bed := &Testbed{Shown: "workflows/testbed.toml", Namespace: "n", NamespaceFrom: "workflows/testbed.toml"}
	want := []Origin{{"broker", "127.0.0.1:4711", "run/endpoints.json"}, {"monitor", "http://127.0.0.1:4712", "SWF_MONITOR_URL in run/endpoints.json"},
		{"config", "workflows/testbed.toml", "SWF_TESTBED_CONFIG in testbed"}, {"namespace", "n", "workflows/testbed.toml"}}
	if diff := cmp.Diff(want, e.Explain(bed, "")); diff != "" {
		t.Error(diff)
	}
	check(t, RemoveEndpoints(o.Dir))
	o.TestbedConfig = ""
	e, err = LoadEnv(o)
	check(t, err)
	want = []Origin{{"broker", "prod:61612", "the environment"}, {"monitor", "https://prod.example", "SWF_MONITOR_URL in .env of the testbed folder"},
		{"config", "workflows/testbed.toml", "default"}, {"namespace", "n", "workflows/testbed.toml"}}
	if diff := cmp.Diff(want, e.Explain(bed, "")); diff != "" {
		t.Error(diff)
	}
	if got := e.Explain(bed, "torre2")[2].From; got != "asked for" {
		t.Error(got)
	}
}

func TestExplainWithNothingSet(t *testing.T) {
	e, err := LoadEnv(EnvOptions{Dir: t.TempDir()})
	check(t, err)
	want := []Origin{{"broker", "localhost:61612", "default"}, {"monitor", "", "SWF_MONITOR_URL is not set"}}
	if diff := cmp.Diff(want, e.Explain(nil, "")); diff != "" {
		t.Error(diff)
	}
	e, err = LoadEnv(EnvOptions{Dir: t.TempDir(), Inherited: []string{"SWF_MONITOR_HTTP_URL=http://u:secret@h/x"}})
	check(t, err)
	if got := e.Explain(nil, "")[1].Value; strings.Contains(got, "secret") {
		t.Error(got)
	}
}
