package e2e

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/cli"
	"github.com/epic-swf/testbed/cli/testbed"
	"github.com/epic-swf/testbed/supervisor"
)

// TestMain makes this test binary the four programs too: copies of it, named
// as they are, are on PATH while the tests run.
func TestMain(m *testing.M) {
	testscript.Main(checked{m}, map[string]func(){
		"testbed":       program(testbed.Main, os.Interrupt, syscall.SIGTERM),
		"swf-mcp":       program(cli.MCP, os.Interrupt, syscall.SIGTERM),
		"agent-manager": program(cli.Manager, os.Interrupt, syscall.SIGTERM),
		"swf-agent":     program(cli.Agent, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT),
	})
}

// program is what the mains in cmd/ do.
func program(run func(context.Context, []string) int, ends ...os.Signal) func() {
	return func() {
		ctx, _ := signal.NotifyContext(context.Background(), ends...)
		os.Exit(run(ctx, os.Args[1:]))
	}
}

// root holds every folder of this run. Its path is short: sockets live below
// it, and theirs may have 99 bytes.
var root string

// mark is the variable by which a process of ours is known: everything that
// the tests start has it, with a path below root.
const mark = "TESTBED_E2E"

// checked runs the tests and then makes sure that nothing outlives them.
type checked struct{ m *testing.M }

func (c checked) Run() int {
	parent := os.TempDir()
	if len(parent) > 24 {
		parent = "/tmp"
	}
	var err error
	if root, err = os.MkdirTemp(parent, "e2e"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := c.m.Run()
	for _, report := range races() {
		fmt.Fprintln(os.Stderr, report)
		code = 1
	}
	for _, p := range processes(root) {
		fmt.Fprintf(os.Stderr, "left running: %s\n", p)
		p.kill()
		code = 1
	}
	if err := os.RemoveAll(root); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// raceOptions are GORACE of every process: no second of sleep at the exit, and
// what is found goes to files, for nobody sees an agent's exit code.
func raceOptions() string { return "atexit_sleep_ms=0 log_path=" + filepath.Join(root, "race") }

func races() (reports []string) {
	files, _ := filepath.Glob(filepath.Join(root, "race.*"))
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil {
			reports = append(reports, string(text))
		}
	}
	return reports
}

// folders numbers them.
var folders atomic.Int64

// folder makes a folder below root, with a short name. Whatever a test leaves running in it is
// ended and makes the test fail.
func folder(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(root, fmt.Sprint(name, folders.Add(1)))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { swept(t, dir) })
	return dir
}

// swept ends the processes that carry the folder, and complains of them.
func swept(t *testing.T, dir string) {
	t.Helper()
	for _, p := range processes(dir) {
		t.Errorf("left running: %s", p)
		p.kill()
	}
}

// needSupervisord skips where there is none; with CI set that is a failure.
func needSupervisord(t *testing.T) {
	t.Helper()
	if _, err := supervisor.FindBinary("", os.Getenv); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs supervisord: ", err)
	}
}

// ours finds one of the copies.
func ours(name string) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return name
}
