package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// secretRE matches keys, tokens and passcodes as their files hold them.
var secretRE = regexp.MustCompile(`swf_[A-Za-z0-9_-]{43}|[0-9a-f]{64}|[A-Za-z0-9+/_-]{43}=?`)

// secrets are those of a testbed that is up, by their value, with the file that
// each was found in.
func secrets(t *testing.T, dir string) map[string]string {
	t.Helper()
	found, files := map[string]string{}, []string{"run/state/runner.key"}
	for _, name := range []string{"broker.passcode", "control.key", "mcp.token", "monitor.token", "session.key"} {
		files = append(files, "run/config/"+name)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		values := secretRE.FindAllString(string(text), -1)
		if len(values) == 0 {
			t.Errorf("no secret in %s", file)
		}
		for _, v := range values {
			found[v] = file
		}
	}
	return found
}

// An agent logs in at the broker and at the monitor by these variables, which
// are those of the Python agents; it has no other secret.
var agentsOwn = map[string]string{"ACTIVEMQ_PASSWORD": "run/config/broker.passcode", "SWF_API_TOKEN": "run/config/monitor.token"}

// planted is a secret that the person who starts the testbed has in the shell.
const planted = "planted-0123456789abcdef0123456789abcdef"

// TestAttack07NoSecretInAnyProcess: while a whole testbed runs, with a server
// that an assistant has started, no secret stands in the arguments of any
// process, which everybody on the host may read, and none in the environment of
// supervisord and its programs but what these log in with.
func TestAttack07NoSecretInAnyProcess(t *testing.T) {
	t.Parallel()
	home := folder(t, "s")
	dir := filepath.Join(home, "tb")
	env := append(private(t, home), "SWF_MCP_TOKEN="+planted, "MCP_BEARER_TOKEN="+planted, "SWF_CONTROL_KEY="+planted, "SWF_MONITOR_MCP_TOKEN="+planted)
	end := begun(t, env, "In another terminal", os.Interrupt, ours("testbed"), "up", "--dir", dir)
	run := exec.Command(ours("testbed"), "run", "--dir", dir)
	run.Env = env
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually(t, "the programs have begun", func() error {
		if n := programs(home, "swf-agent"); n != 2 { // RUNNING comes before its exec
			return fmt.Errorf("%d of them", n)
		}
		return nil
	})
	assistant := begun(t, env, `"jsonrpc"`, nil, ours("swf-mcp"), "stdio", "--dir", dir)
	all := secrets(t, dir)
	all[planted] = "the shell"
	supervised := 0
	for _, p := range processes(home) {
		for value, file := range all {
			if strings.Contains(strings.Join(p.command, " "), value) {
				t.Errorf("%s shows what is in %s", p.command[0], file)
			}
		}
		if !p.is("supervisord") && !p.is("swf-agent") {
			continue
		}
		supervised++
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		if err != nil {
			t.Fatal(err)
		}
		for variable := range strings.SplitSeq(string(text), "\x00") {
			name, _, _ := strings.Cut(variable, "=")
			for value, file := range all {
				if strings.Contains(variable, value) && agentsOwn[name] != file {
					t.Errorf("%s has in %s what is in %s", p.command, name, file)
				}
			}
		}
	}
	if supervised != 3 {
		t.Errorf("%d processes of supervisord were looked at, want it and two programs", supervised)
	}
	assistant()
	end()
	eventually(t, "everything has ended", func() error {
		if left := processes(home); len(left) > 0 {
			return errors.New(fmt.Sprint(left))
		}
		return nil
	})
}

// begun starts a program, asks it whether it is there, as an assistant would,
// and waits for that word in what it writes. The function that it returns ends
// it, by that signal or by the end of its input.
func begun(t *testing.T, env []string, word string, signal os.Signal, program string, args ...string) (end func()) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = env
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	drained := make(chan struct{})
	end = sync.OnceFunc(func() {
		_ = in.Close()
		if signal != nil {
			_ = cmd.Process.Signal(signal)
		}
		<-drained
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", program, err)
		}
	})
	t.Cleanup(end)
	_, _ = io.WriteString(in, `{"jsonrpc":"2.0","id":1,"method":"ping"}`+"\n") // who does not read it does not mind
	lines, heard := bufio.NewReader(out), false
	for line := ""; !heard && err == nil; heard = strings.Contains(line, word) {
		line, err = lines.ReadString('\n')
	}
	go func() { defer close(drained); _, _ = io.Copy(io.Discard, lines) }()
	if !heard {
		t.Fatalf("%s ended before it said %q: %v", program, word, err)
	}
	return end
}
