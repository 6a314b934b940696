package config

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/swf"
)

func TestEndpointsFile(t *testing.T) {
	dir := t.TempDir()
	if e, err := ReadEndpoints(dir); e != nil || err != nil {
		t.Fatalf("%v, %v", e, err)
	}
	check(t, WriteEndpoints(dir, Endpoints{Broker: "127.0.0.1:1", Monitor: "http://127.0.0.1:2", MCP: "http://127.0.0.1:3/mcp", Token: "tok"}))
	text, err := os.ReadFile(endpointsPath(dir))
	check(t, err)
	var raw map[string]any
	check(t, json.Unmarshal(text, &raw))
	for key, want := range map[string]string{"broker": "127.0.0.1:1", "monitor": "http://127.0.0.1:2", "mcp": "http://127.0.0.1:3/mcp", "token": "tok"} {
		if raw[key] != want {
			t.Errorf("%s is %v", key, raw[key])
		}
	}
	for path, mode := range map[string]os.FileMode{endpointsPath(dir): 0o600, filepath.Join(dir, "run"): 0o700 | os.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	e, err := LiveEndpoints(dir)
	if err != nil || e == nil || e.Token.Reveal() != "tok" || e.PID != os.Getpid() {
		t.Fatalf("%+v, %v", e, err)
	}
	if s := fmt.Sprintf("%v %+v %#v", *e, *e, *e); len(s) == 0 || strings.Contains(s, "tok\"") {
		t.Errorf("printed: %s", s)
	}
	check(t, RemoveEndpoints(dir))
	if e, err := ReadEndpoints(dir); e != nil || err != nil {
		t.Errorf("%v, %v", e, err)
	}
}

func TestAttack32EndpointsOfADeadProcess(t *testing.T) {
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	check(t, err)
	check(t, child.Start())
	host, err := os.Hostname()
	check(t, err)
	e := Endpoints{PID: child.Process.Pid, Started: startStamp(child.Process.Pid), Host: host}
	if !e.Live() {
		t.Errorf("%+v is alive", e)
	}
	for name, other := range map[string]Endpoints{
		"another process under the pid": {PID: e.PID, Started: "boot/1", Host: host},
		"another host":                  {PID: e.PID, Started: e.Started, Host: host + "x"},
		"nothing recorded":              {},
		"no stamp":                      {PID: e.PID, Host: host},
	} {
		if other.Live() {
			t.Errorf("%s passes for alive", name)
		}
	}
	check(t, in.Close())
	check(t, child.Wait())
	if e.Live() {
		t.Error("a dead process passes for alive")
	}
}

func TestEndpointsThatOthersCouldWriteAreRefused(t *testing.T) {
	dir := t.TempDir()
	check(t, os.Mkdir(filepath.Join(dir, "run"), 0o700))
	for text, mode := range map[string]os.FileMode{"{}": 0o622, "not JSON": 0o600} {
		check(t, os.WriteFile(endpointsPath(dir), []byte(text), mode))
		check(t, os.Chmod(endpointsPath(dir), mode))
		if e, err := LiveEndpoints(dir); !swf.IsCode(err, swf.CodeEnvironment) {
			t.Errorf("%q: %v, %v", text, e, err)
		}
	}
}
