package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

var confEnv = []string{"USER=ann", "SWF_HOME=/home/ann/swf", "SWF_TESTBED_CONFIG=my config.toml", "HOME=/home/ann"}

// The file that users have: as supervisord reads it.
func TestReadConf(t *testing.T) {
	c, err := ReadConf("testdata/agents.supervisord.conf", confEnv)
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	if c.Dir != here || c.Path != here+"/agents.supervisord.conf" || c.NoDaemon || !c.RPC {
		t.Errorf("%+v", c)
	}
	sock := "/tmp/swf-agents-supervisor-ann.sock"
	if (c.Endpoint != Endpoint{Network: "unix", Address: sock}) || c.Socket != sock || c.ServerURL != "unix://"+sock {
		t.Errorf("endpoint: %v", c.Endpoint)
	}
	if c.PIDFile != here+"/agents-supervisord.pid" || c.LogFile != here+"/logs/agents-supervisord.log" {
		t.Errorf("files: %s %s", c.PIDFile, c.LogFile)
	}
	want := []Program{
		{Name: "example-data-agent", Group: "agents", Section: "example-data-agent", Command: "python agent.py", StartSecs: 3, StopWaitSecs: 10, StopSignal: syscall.SIGTERM},
		{Name: "worker_07", Group: "agents", Section: "worker", Command: "python worker.py 7", StartSecs: 1, StopWaitSecs: 10, StopSignal: syscall.SIGTERM, LogFile: here + "/logs/worker-7-agents.log", Autostart: true},
		{Name: "worker_08", Group: "agents", Section: "worker", Command: "python worker.py 8", StartSecs: 1, StopWaitSecs: 10, StopSignal: syscall.SIGTERM, LogFile: here + "/logs/worker-8-agents.log", Autostart: true},
		{Name: "extra", Group: "extra", Section: "extra", Command: "python extra.py", StartSecs: 1, StopWaitSecs: 10, StopSignal: syscall.SIGINT, LogFile: here + "/more/extra.log", Autostart: true},
		{Name: "workflow-runner", Group: "workflow-runner", Section: "workflow-runner", Command: "python -u /home/ann/swf/runner.py --note 100%", StartSecs: 1, StopWaitSecs: 12, StopSignal: syscall.SIGQUIT, LogFile: here + "/logs/workflow-runner.log"},
	}
	if !reflect.DeepEqual(c.Programs, want) {
		t.Errorf("programs:\n%+v\nwant\n%+v", c.Programs, want)
	}
	if got := c.Programs[1].Spec() + " " + c.Programs[3].Spec(); got != "agents:worker_07 extra" {
		t.Error(got)
	}
}

const confHead = "[unix_http_server]\nfile=/tmp/x.sock\n[supervisord]\n"

func TestReadConfErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no supervisord", "[unix_http_server]\nfile=x\n", "no [supervisord]"},
		{"no server", "[supervisord]\n", "no [unix_http_server]"},
		{"no file", "[supervisord]\n[unix_http_server]\n", "c.conf:2: [unix_http_server] has no file"},
		{"before a section", "a=1\n", "c.conf:1: an option before"},
		{"no option", confHead + "what is this\n", "c.conf:4: neither"},
		{"no name", confHead + "= 1\n", "c.conf:4: a value without"},
		{"bad header", confHead + "[program:a\n", "c.conf:4: a section header"},
		{"unset", confHead + "[program:a]\ncommand=x %(ENV_NOPE)s\n", "[program:a] command: environment variable NOPE is not set"},
		{"unset in environment", confHead + "[program:a]\ncommand=x\nenvironment=A=%(ENV_NOPE)s\n", "variable NOPE is not set"},
		{"unset in socket", "[supervisord]\n[unix_http_server]\nfile=/tmp/%(ENV_NOPE)s\n", "[unix_http_server] file: environment variable NOPE"},
		{"unknown", confHead + "[program:a]\ncommand=%(what)s\n", "%(what)s means nothing here"},
		{"lone percent", confHead + "[program:a]\ncommand=50% done\n", "badly formatted"},
		{"cut off", confHead + "[program:a]\ncommand=%(here\n", "badly formatted"},
		{"no conversion", confHead + "[program:a]\ncommand=%(here)\n", "badly formatted"},
		{"not a number", confHead + "[program:a]\ncommand=x\nstartsecs=soon\n", "startsecs: not a whole number: soon"},
		{"no such signal", confHead + "[program:a]\ncommand=x\nstopsignal=NOPE\n", "stopsignal: no such signal: NOPE"},
		{"not boolean", confHead + "[program:a]\ncommand=x\nautostart=perhaps\n", "autostart: neither true nor false"},
		{"no command", confHead + "[program:a]\n", "[program:a] has no command"},
		{"bad name", confHead + "[program:a b]\ncommand=x\n", "no spaces"},
		{"numprocs", confHead + "[program:a]\ncommand=x\nnumprocs=2\n", "numprocs > 1 needs"},
		{"many", confHead + "[program:a]\ncommand=x\nnumprocs=20000\n", "numprocs: more than"},
		{"group", confHead + "[group:g]\nprograms=a\n", "[group:g] names a program that does not exist: a"},
		{"include", confHead + "[include]\nfile=x\n", "[include] without files"},
		{"quote", confHead + "[program:a]\ncommand=x\nenvironment=A=\"%(ENV_EVIL)s\"\n", "EVIL holds a quote"},
		{"pairs", confHead + "[program:a]\ncommand=x\nenvironment=A\n", `not of the form`},
		{"nodaemon", "[supervisord]\nnodaemon=maybe\n", "nodaemon: neither"},
		{"port", "[supervisord]\n[inet_http_server]\nport=x:99999\n", "port: not host:port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.conf")
			write(t, path, tt.text)
			_, err := ReadConf(path, append(confEnv, `EVIL=a",B="x`))
			var ce *ConfError
			if !errors.As(err, &ce) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want ...%s", err, tt.want)
			}
		})
	}
	if _, err := ReadConf(t.TempDir()+"/nothing.conf", nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := ReadConf(t.TempDir(), nil); err == nil {
		t.Error("a folder was read")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestReadConfVariants(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.conf")
	read := func(text string) *Conf {
		t.Helper()
		write(t, path, text)
		c, err := ReadConf(path, confEnv)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := read("[inet_http_server]\nport=*:9001\nusername=u\npassword=p%%q\n[supervisord]\nlogfile=syslog\n")
	if (c.Endpoint != Endpoint{"tcp", "localhost:9001", "u", "p%q"}) || c.ServerURL != "http://localhost:9001" || c.Socket != "" {
		t.Errorf("%#v", c)
	}
	if s := c.Endpoint.String() + c.Endpoint.GoString(); strings.Contains(s, "p%q") {
		t.Error("password shown: " + s)
	}
	c = read("[inet_http_server]\nport=9001\n[unix_http_server]\nfile=~/s.sock\n[supervisord]\npidfile=p.pid\r\n")
	if c.Socket != "/home/ann/s.sock" || c.PIDFile != dir+"/p.pid" {
		t.Errorf("%+v", c)
	}
	c = read("\ufeff[DEFAULT]\nstopwaitsecs=3\n" + confHead + "[program:a]\ncommand=x\n  y\n\n  z\nstopsignal=2\n" +
		"[program:b]\ncommand=x\nstopwaitsecs=4\n[program:a]\nstartsecs=5\n[eventlistener:e]\ncommand=x\nstdout_logfile=NONE\n")
	if len(c.Programs) != 3 || c.Programs[0].StopWaitSecs != 3 || c.Programs[0].StartSecs != 5 ||
		c.Programs[0].StopSignal != syscall.SIGINT || c.Programs[1].StopWaitSecs != 4 || c.Programs[2].LogFile != "" {
		t.Errorf("%+v", c.Programs)
	}
}

// What New forgives, the start does not.
func TestNewForgivesWhatOnlyAStartNeeds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.conf")
	write(t, path, confHead+"[program:a]\ncommand=%(ENV_NOPE)s\nstopsignal=QUIT\nenvironment=A=\"%(ENV_NOPE)s\"\n"+
		"stdout_logfile=%(ENV_NOPE)s/x\n[rpcinterface:supervisor]\n")
	d, err := New(Options{Conf: path, Env: []string{}})
	if err != nil || d.Conf().Programs[0].StopSignal != syscall.SIGQUIT {
		t.Fatal(err)
	}
	if err := d.Spawn(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "NOPE is not set") {
		t.Errorf("Spawn = %v", err)
	}
	if _, err := New(Options{Conf: path + "x"}); err == nil {
		t.Error("a missing file was accepted")
	}
}

func TestAttack31SocketAndPort(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	write(t, filepath.Join(dir, "file"), "")
	write(t, filepath.Join(open, "x"), "")
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	ok := Conf{Path: "c.conf", RPC: true, Socket: filepath.Join(dir, "s.sock")}
	if err := ok.Check(); err != nil {
		t.Error(err)
	}
	tests := []struct {
		name, want string
		forbidden  bool
		change     func(*Conf)
	}{
		{"nodaemon", "nodaemon=true", false, func(c *Conf) { c.NoDaemon = true }},
		{"no rpc", "rpcinterface", false, func(c *Conf) { c.RPC = false }},
		{"long", "at most 99", false, func(c *Conf) { c.Socket = "/tmp/" + strings.Repeat("x", 95) }},
		{"no folder", "no such file", false, func(c *Conf) { c.Socket = dir + "/no/s" }},
		{"folder is a file", "not a folder", false, func(c *Conf) { c.Socket = dir + "/file/s" }},
		{"anybody's", "anybody can replace it", true, func(c *Conf) { c.Socket = open + "/s" }},
		{"open port", "asks for no password", true, func(c *Conf) { c.OpenPort = true }},
		{"in the way", "is not a socket", false, func(c *Conf) { c.Socket = dir + "/file" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := ok
			tt.change(&c)
			err := c.Check()
			var ce *ConfError
			if !errors.As(err, &ce) || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrForbidden) != tt.forbidden {
				t.Errorf("err = %v", err)
			}
		})
	}
	if err := os.Chmod(open, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	ok.Socket = open + "/s"
	if err := ok.Check(); err != nil || !ok.inPublic() {
		t.Errorf("sticky: %v", err)
	}
	ok.Socket = open + "/" + strings.Repeat("x", maxSocketPath-len(open)-1)
	if err := ok.Check(); err != nil {
		t.Errorf("99 bytes: %v", err)
	}
}
