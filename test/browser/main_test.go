package browser

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/epic-swf/testbed/cli"
	"github.com/epic-swf/testbed/cli/testbed"
)

// TestMain makes this test binary the testbed's programs too: copies of it,
// named as they are, are on PATH while the tests run.
func TestMain(m *testing.M) {
	testscript.Main(checked{m}, map[string]func(){
		"testbed":       program(testbed.Main, os.Interrupt, syscall.SIGTERM),
		"agent-manager": program(cli.Manager, os.Interrupt, syscall.SIGTERM),
		"swf-mcp":       program(cli.MCP, os.Interrupt, syscall.SIGTERM),
		"swf-agent":     program(cli.Agent, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT),
	})
}

func program(run func(context.Context, []string) int, ends ...os.Signal) func() {
	return func() {
		ctx, _ := signal.NotifyContext(context.Background(), ends...)
		os.Exit(run(ctx, os.Args[1:]))
	}
}

// mark is the variable by which a process that the tests started is known.
const mark = "TESTBED_BROWSER"

// root holds every folder of this run. Its path is short, for sockets.
var root string

// checked runs the tests and then makes sure that no process outlives them.
type checked struct{ m *testing.M }

func (c checked) Run() int {
	var err error
	if root, err = os.MkdirTemp("/tmp", "web"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(root)
	code := c.m.Run()
	for _, pid := range left() {
		fmt.Fprintln(os.Stderr, "left running: process", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
		code = 1
	}
	return code
}

// left are the processes that carry this run's mark.
func left() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		b, err := os.ReadFile(f)
		var pid int
		if _, scan := fmt.Sscanf(f, "/proc/%d/environ", &pid); err == nil && scan == nil && strings.Contains("\x00"+string(b), "\x00"+mark+"="+root) {
			pids = append(pids, pid)
		}
	}
	return pids
}
