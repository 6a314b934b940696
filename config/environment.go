package config

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// EnvOptions says what an environment is made of. Weakest first: the .env of
// Home, the .env of Dir, Inherited; with PreferFiles both files win over
// Inherited. Then come the live endpoints of Dir, what is always ours, Extra.
type EnvOptions struct {
	Dir         string   // the testbed folder, absolute
	Home        string   // the user's home; "" reads no .env there
	Inherited   []string // KEY=value, as os.Environ gives them
	PreferFiles bool     // for a manager: its own environment is as old as it is

	// DropInherited forgets inherited ACTIVEMQ_* and SWF_* variables, for
	// programs that bring their own broker and monitor.
	DropInherited bool

	User          string            // USER; "" keeps what is there
	TestbedConfig string            // SWF_TESTBED_CONFIG; "" keeps what is there
	Extra         map[string]string // such as SWF_START_ID, SWF_STATE_DIR
}

// Env is an environment that knows where each variable came from. It is read
// only and may be used from several goroutines.
type Env struct {
	vars map[string]variable
}

type variable struct{ value, from string }

// Where variables come from, in the words of the start banner.
const (
	fromInherited = "the environment"
	fromFolder    = ".env of the testbed folder"
	fromHome      = ".env of your home"
	fromEndpoints = "run/endpoints.json"
	fromUs        = "testbed"
)

// LoadEnv reads the files and makes the environment. Errors are *swf.Error
// and show no value.
func LoadEnv(o EnvOptions) (*Env, error) {
	e := &Env{vars: map[string]variable{}}
	files, err := dotEnvs(o)
	if err != nil {
		return nil, err
	}
	inherited := map[string]variable{}
	for _, kv := range o.Inherited {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || key == "" || (o.DropInherited && (strings.HasPrefix(key, "ACTIVEMQ_") || strings.HasPrefix(key, "SWF_"))) {
			continue
		}
		inherited[key] = variable{value, fromInherited}
	}
	if o.PreferFiles {
		maps.Copy(e.vars, inherited)
		maps.Copy(e.vars, files)
	} else {
		maps.Copy(e.vars, files)
		maps.Copy(e.vars, inherited)
	}
	if err := e.useEndpoints(o.Dir); err != nil {
		return nil, err
	}
	e.useOurs(o)
	for _, key := range sortedKeys(o.Extra) {
		e.vars[key] = variable{o.Extra[key], fromUs}
	}
	return e, e.check()
}

// dotEnvs merges the two files; the folder's wins.
func dotEnvs(o EnvOptions) (map[string]variable, error) {
	vars := map[string]variable{}
	for _, f := range []struct{ dir, from string }{{o.Home, fromHome}, {o.Dir, fromFolder}} {
		if f.dir == "" {
			continue
		}
		read, err := LoadDotEnv(filepath.Join(f.dir, ".env"))
		if err != nil {
			return nil, err
		}
		for key, value := range read {
			if key == "PATH" && strings.Contains(value, "$") {
				continue // "$HOME/bin:$PATH" needs a shell; taken literally nothing would be found
			}
			vars[key] = variable{value, f.from}
		}
	}
	return vars, nil
}

// useEndpoints lets a running "testbed up" of the folder win.
func (e *Env) useEndpoints(dir string) error {
	live, err := LiveEndpoints(dir)
	if err != nil || live == nil {
		return err
	}
	set := func(key, value string) {
		delete(e.vars, key)
		if value != "" {
			e.vars[key] = variable{value, fromEndpoints}
		}
	}
	if live.Broker != "" {
		host, port, err := net.SplitHostPort(strings.TrimPrefix(strings.TrimPrefix(live.Broker, "tcp://"), "stomp://"))
		if err != nil {
			return swf.E(swf.CodeEnvironment, endpointsPath(dir)+": broker is not HOST:PORT", `start "testbed up" again`)
		}
		for key := range e.vars {
			if strings.HasPrefix(key, "ACTIVEMQ_SSL_") {
				delete(e.vars, key)
			}
		}
		set("ACTIVEMQ_HOST", host)
		set("ACTIVEMQ_PORT", port)
		set("ACTIVEMQ_USER", live.BrokerLogin)
		set("ACTIVEMQ_PASSWORD", live.BrokerPasscode.Reveal())
		set("ACTIVEMQ_USE_SSL", "False")
	}
	if live.Monitor != "" {
		set("SWF_MONITOR_URL", live.Monitor)
		set("SWF_MONITOR_HTTP_URL", live.Monitor)
		set("SWF_API_TOKEN", live.MonitorToken.Reveal())
	}
	return nil
}

// useOurs sets what nobody else decides: design 4b.3 and 4c.3.
func (e *Env) useOurs(o EnvOptions) {
	set := func(key, value string) {
		if value != "" {
			e.vars[key] = variable{value, fromUs}
		}
	}
	set("SWF_HOME", filepath.Dir(o.Dir))
	set("USER", o.User)
	set("SWF_TESTBED_CONFIG", o.TestbedConfig)
	set("SWF_ENV_LOADED", "true")
	venv := filepath.Join(o.Dir, ".venv")
	if bin := filepath.Join(venv, "bin"); isDir(bin) {
		path := e.Get("PATH")
		if first, _, _ := strings.Cut(path, string(os.PathListSeparator)); first != bin {
			path = strings.TrimSuffix(bin+string(os.PathListSeparator)+path, string(os.PathListSeparator))
		}
		set("PATH", path)
		set("VIRTUAL_ENV", venv)
	}
}

// expanded are the variables that agents.supervisord.conf expands: a quote, a
// newline or a % in one of them would become part of the file's syntax.
var expanded = []string{"SWF_TESTBED_CONFIG", "SWF_HOME", "USER"}

func (e *Env) check() error {
	for _, key := range expanded {
		if v := e.vars[key]; strings.ContainsAny(v.value, "\"%\r\n\x00") {
			return swf.E(swf.CodeEnvironment, fmt.Sprintf("%s (from %s) holds a quote, a %% or a newline", key, v.from),
				"supervisord would take it for a part of its configuration; use another name or path")
		}
	}
	for key, v := range e.vars {
		if key == "" || strings.ContainsAny(key, "=\x00") || strings.ContainsRune(v.value, 0) {
			return swf.E(swf.CodeEnvironment, fmt.Sprintf("the variable %s (from %s) holds a NUL or an = in its name", short(key), v.from), "correct it")
		}
	}
	return nil
}

// Get returns a variable's value, or "". It serves wherever a
// func(string) string like os.Getenv is wanted.
func (e *Env) Get(key string) string { return e.vars[key].value }

// From says where a variable came from, or "" when it is not set.
func (e *Env) From(key string) string { return e.vars[key].from }

// Programs returns KEY=value of every variable that supervisord and its
// programs may see, sorted: without our own secrets and what makes a loader or
// shell run somebody's code, and without what another supervisord left for its
// children.
func (e *Env) Programs() []string {
	list := make([]string, 0, len(e.vars))
	for key, v := range e.vars {
		if !withheld(key) {
			list = append(list, key+"="+v.value)
		}
	}
	slices.Sort(list)
	return list
}

// withheld reports whether programs must not see a variable.
func withheld(key string) bool {
	switch key {
	case "SWF_MONITOR_MCP_TOKEN", "MCP_BEARER_TOKEN":
		return true
	case "LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "BASH_ENV", "ENV", "GCONV_PATH": // code that no program of ours asked for
		return true
	}
	for _, prefix := range []string{"SWF_CONTROL_", "SWF_KEYRING", "SWF_MCP_", "SUPERVISOR_", "BASH_FUNC_"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// Environment makes the environment for a start of supervisord: LoadEnv and
// Programs, and an error when a variable is missing without which
// agents.supervisord.conf cannot be read (contract 3).
func Environment(o EnvOptions) ([]string, error) {
	e, err := LoadEnv(o)
	if err != nil {
		return nil, err
	}
	for _, key := range expanded {
		if e.Get(key) == "" {
			return nil, swf.E(swf.CodeEnvironment, key+" is not set, and supervisord needs it", "set "+key)
		}
	}
	return e.Programs(), nil
}
