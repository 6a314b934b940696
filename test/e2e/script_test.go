package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/epic-swf/testbed/supervisor"
)

// TestScripts runs testdata/*.txtar. A script's commands are the four programs
// and, beside what testscript has:
//
//	services                a broker and a monitor, as a site has them, in the environment
//	ready [DIR]             waits until the manager has heard itself through the broker
//	exits CODE PROGRAM...   runs a program that must end with that code
//	json FILE PATH OP WANT  looks into JSON: see jsonCommand
//	await FILE PATTERN      waits until a file holds it
//	listen FILE [DIR]       writes what is broadcast to agents into FILE, a line each
//	mcp [-http|-sse] TOOL [ARGUMENTS]   one MCP client, one call; the answer becomes stdout
//	signal NAME PID         and: gone PID waits for its end, alive PID checks it
//	beats PID N             asks the manager for N heartbeats, one after the other
//	read FILE NAME          puts a file's text into the environment
//	processes NAME N        how many of that name live now
//	mode FILE MODE          its permissions
//	empty DIR               holds no file
func TestScripts(t *testing.T) {
	needSupervisord(t)
	testscript.Run(t, scripts(t))
}

func scripts(t *testing.T) testscript.Params {
	return testscript.Params{
		Dir: "testdata", Setup: setup, WorkdirRoot: folder(t, "s"), RequireExplicitExec: false, RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"services": servicesCommand, "ready": readyCommand, "exits": exitsCommand, "json": jsonCommand, "await": awaitCommand,
			"listen": listenCommand, "mcp": mcpCommand, "signal": signalCommand, "gone": goneCommand, "alive": aliveCommand,
			"beats": beatsCommand, "read": readCommand, "processes": processesCommand, "mode": modeCommand, "empty": emptyCommand,
		},
	}
}

// setup gives a script a home of its own, so that nothing reaches the real
// one, and sees to it that nothing of it lives on.
func setup(env *testscript.Env) error {
	me, err := user.Current()
	if err != nil {
		return err
	}
	home := filepath.Join(env.WorkDir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	env.Setenv(mark, env.WorkDir)
	env.Setenv("GORACE", raceOptions())
	env.Setenv("ME", me.Username)
	env.Setenv("USER", me.Username)
	env.Setenv("HOME", home)
	env.Setenv("SWF_SUPERVISORD", os.Getenv("SWF_SUPERVISORD"))
	env.Setenv("BIN", filepath.Dir(ours("testbed")))
	binary, err := supervisor.FindBinary("", os.Getenv)
	if err != nil {
		return err
	}
	env.Setenv("SUPERVISORD", binary)
	for _, name := range []string{"XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"} {
		env.Setenv(name, filepath.Join(env.WorkDir, strings.ToLower(strings.Split(name, "_")[1])))
	}
	env.Defer(func() {
		left := processes(env.WorkDir)
		for _, p := range left {
			p.kill()
		}
		if t, ok := env.T().(interface{ Failed() bool }); len(left) > 0 && ok && !t.Failed() {
			env.T().Fatal("left running: ", left)
		}
	})
	return nil
}

// args checks their number.
func args(ts *testscript.TestScript, neg bool, args []string, min, max int, usage string) {
	if neg || len(args) < min || len(args) > max {
		ts.Fatalf("usage: %s", usage)
	}
}

func exitsCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, neg, a, 2, 99, "exits CODE PROGRAM [ARGUMENT...]")
	err := ts.Exec(a[1], a[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code, err = exit.ExitCode(), nil
	}
	ts.Check(err)
	if strconv.Itoa(code) != a[0] {
		ts.Fatalf("it ended with %d, not %s", code, a[0])
	}
}

func awaitCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, neg, a, 1, 2, "await FILE [PATTERN]")
	path := ts.MkAbs(a[0])
	pattern := ""
	if len(a) == 2 {
		pattern = a[1]
	}
	ts.Check(within(patience, func() error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !matches(ts, pattern, string(text)) {
			return fmt.Errorf("%s has no %q:\n%s", a[0], pattern, text)
		}
		return nil
	}))
}

func signalCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, neg, a, 2, 2, "signal NAME PID")
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "USR1": syscall.SIGUSR1, "HUP": syscall.SIGHUP}
	ts.Check(syscall.Kill(scriptPID(ts, a[1]), signals[a[0]]))
}

// scriptPID reads a pid and makes sure that it is a process of this script.
func scriptPID(ts *testscript.TestScript, text string) int {
	pid, err := strconv.Atoi(text)
	ts.Check(err)
	if p, ok := look(pid); !ok || p.dir != ts.Getenv("WORK") {
		ts.Fatalf("%d is no live process of this script", pid)
	}
	return pid
}

func aliveCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, neg, a, 1, 1, "alive PID")
	scriptPID(ts, a[0])
}

func goneCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, neg, a, 1, 1, "gone PID")
	pid, err := strconv.Atoi(a[0])
	ts.Check(err)
	ts.Check(within(patience, func() error {
		if p, ok := look(pid); ok && p.dir == ts.Getenv("WORK") {
			return fmt.Errorf("%s lives", p)
		}
		return nil
	}))
}

func processesCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, neg, a, 2, 2, "processes NAME N")
	if n := programs(ts.Getenv("WORK"), a[0]); strconv.Itoa(n) != a[1] {
		ts.Fatalf("%d %s live: %v", n, a[0], processes(ts.Getenv("WORK")))
	}
}

func readCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, neg, a, 2, 2, "read FILE NAME")
	ts.Setenv(a[1], strings.TrimSpace(ts.ReadFile(a[0])))
}

func modeCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, neg, a, 2, 2, "mode FILE MODE")
	info, err := os.Stat(ts.MkAbs(a[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != a[1] {
		ts.Fatalf("%s has mode %s, not %s", a[0], got, a[1])
	}
}

func emptyCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, neg, a, 1, 1, "empty DIR")
	entries, err := os.ReadDir(ts.MkAbs(a[0]))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	ts.Check(err)
	for _, e := range entries {
		ts.Fatalf("%s holds %s", a[0], e.Name())
	}
}
