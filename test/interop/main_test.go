package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/cli"
	whole "github.com/epic-swf/testbed/cli/testbed"
)

// programs are those that a session needs. The test's own binary is them,
// under other names: that needs no second build of everything, and with -race
// the programs are watched too. Each main of cmd/ does nothing more than this.
var programs = map[string]func(context.Context, []string) int{
	"testbed":   whole.Main,
	"swf-mcp":   cli.MCP,
	"swf-agent": cli.Agent,
}

func TestMain(m *testing.M) {
	if run, ok := programs[filepath.Base(os.Args[0])]; ok {
		ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
		os.Exit(run(ctx, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// install puts the programs into a folder, side by side as a user has them.
func install(t *testing.T) (bin string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin = t.TempDir()
	first := ""
	for name := range programs {
		path := filepath.Join(bin, name)
		if first == "" {
			first, err = path, linkOrCopy(self, path)
		} else {
			err = os.Link(first, path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// linkOrCopy makes a hard link: a program finds its siblings by the path it
// was executed by, which a symbolic one would lead astray.
func linkOrCopy(from, to string) (err error) {
	if os.Link(from, to) == nil {
		return nil // else another file system
	}
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

// tool returns what set-up names in the environment. Without it the test
// skips, or fails where CI promises that nothing is missing.
func tool(t *testing.T, variable, what string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		missing := fmt.Sprintf("no %s: %s is not set; run: scripts/setup.sh test go test ./test/interop", what, variable)
		if os.Getenv("CI") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return path
}
