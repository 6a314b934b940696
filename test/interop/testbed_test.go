package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limit is how long anything here may take before it counts as hung.
const limit = 90 * time.Second

// testbed is a "testbed up" that runs, and what a client needs to reach it.
type testbed struct {
	bin, dir string
	mcp      string // URL of /mcp
	token    string
	gorace   string // GORACE for the programs: where races are noted
}

// bringUp runs "testbed up" in a folder of its own until the test ends, when
// nothing of it may be left.
func bringUp(t *testing.T, prepare ...func(dir string)) testbed {
	t.Helper()
	b := testbed{bin: install(t), dir: filepath.Join(t.TempDir(), "testbed")}
	for _, f := range prepare {
		f(b.dir)
	}
	home, races := t.TempDir(), filepath.Join(t.TempDir(), "race")
	b.gorace = "atexit_sleep_ms=0 log_path=" + races
	cmd := exec.Command(filepath.Join(b.bin, "testbed"), "up", "--dir", b.dir)
	cmd.Env = append(isolated(home), "GORACE="+b.gorace)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	var said bytes.Buffer // read only after Wait
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan bool, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "testbed of ") {
				ready <- true
				break
			}
		}
		_, _ = io.Copy(io.Discard, out)
		close(ready)
	}()
	t.Cleanup(func() {
		end(t, cmd, drained)
		if t.Failed() {
			t.Logf("testbed up said:\n%s", said.String())
		}
		nothingLeft(t, b, home, races)
	})
	select {
	case ok := <-ready:
		if !ok {
			t.Fatal("testbed up ended before it was up")
		}
	case <-time.After(limit):
		t.Fatal("testbed up was never up")
	}
	b.endpoints(t)
	return b
}

// isolated is an environment in which nothing of the machine's owner is found
// and nothing of theirs can be written.
func isolated(home string) []string {
	env := []string{"HOME=" + home}
	for _, name := range []string{"PATH", "USER", "LOGNAME", "TMPDIR", "LANG", "SWF_SUPERVISORD"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func (b *testbed) endpoints(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "run", "endpoints.json"))
	if err != nil {
		t.Fatal(err)
	}
	var e struct{ MCP, Token string }
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	if e.MCP == "" || e.Token == "" {
		t.Fatal("endpoints.json names no MCP endpoint or token")
	}
	b.mcp, b.token = e.MCP, e.Token
}

// end interrupts it, as a person would, and waits.
func end(t *testing.T, cmd *exec.Cmd, drained <-chan struct{}) {
	t.Helper()
	_ = cmd.Process.Signal(os.Interrupt) // it may have ended by itself
	kill := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	<-drained
	if err := cmd.Wait(); err != nil {
		t.Errorf("testbed up: %v", err)
	}
}

// nothingLeft checks what "testbed up" promises: no process and no file
// outside of its folder; and that the race detector, if on, saw nothing.
func nothingLeft(t *testing.T, b testbed, home, races string) {
	t.Helper()
	if entries, err := os.ReadDir(home); err != nil || len(entries) > 0 {
		t.Errorf("left in the home folder: %v %v", entries, err)
	}
	for _, p := range processesOf(t, b.bin, b.dir) {
		t.Errorf("still runs: %s", p)
	}
	reports, err := filepath.Glob(races + ".*")
	if err != nil {
		t.Error(err)
	}
	for _, path := range reports {
		text, err := os.ReadFile(path)
		t.Errorf("%s %v", text, err)
	}
}

// processesOf returns the command lines that mention a folder of the test's.
func processesOf(t *testing.T, folders ...string) (list []string) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // ended meanwhile
		}
		for _, folder := range folders {
			if bytes.Contains(line, []byte(folder)) {
				list = append(list, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
				break
			}
		}
	}
	return list
}
