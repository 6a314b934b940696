package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/epic-swf/testbed/supervisor"
)

// private is the environment of a person whose whole home is dir.
func private(t *testing.T, dir string) []string {
	t.Helper()
	binary, err := supervisor.FindBinary("", os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	return []string{mark + "=" + dir, "GORACE=" + raceOptions(), "HOME=" + dir, "PATH=" + os.Getenv("PATH"), "USER=" + os.Getenv("USER"), "SWF_SUPERVISORD=" + binary}
}

// TestNobodyFollowsUp: a testbed in a terminal ends in order, agents and
// supervisord included, when what it writes is read no more and when the
// terminal is closed.
func TestNobodyFollowsUp(t *testing.T) {
	heard := make(chan os.Signal, 1) // "nohup make test" has its programs ignore it; what is caught they do not inherit
	signal.Notify(heard, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(heard) })
	for _, c := range []struct {
		name  string
		leave func(up *exec.Cmd, output io.Closer)
	}{
		{"reader gone", func(_ *exec.Cmd, output io.Closer) { output.Close() }},
		{"terminal closed", func(up *exec.Cmd, _ io.Closer) { _ = up.Process.Signal(syscall.SIGHUP) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			home := folder(t, "o")
			env, dir := private(t, home), filepath.Join(home, "tb")
			up := exec.Command(ours("testbed"), "up", "--dir", dir)
			up.Env = env
			output, written, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer output.Close()
			up.Stdout, up.Stderr = written, written // "testbed up 2>&1 | head"
			if err := up.Start(); err != nil {
				t.Fatal(err)
			}
			written.Close()
			lines := bufio.NewReader(output)
			for line := ""; !strings.HasPrefix(line, "In another terminal"); {
				if line, err = lines.ReadString('\n'); err != nil {
					t.Fatal(err, up.Wait())
				}
			}
			command := func(args ...string) string {
				cmd := exec.Command(ours("testbed"), append(args, "--dir", dir)...)
				cmd.Env = env
				out, _ := cmd.CombinedOutput()
				return string(out)
			}
			if out := command("run"); !strings.Contains(out, "Workflow triggered") {
				t.Fatal(out)
			}
			go func() { _, _ = io.Copy(io.Discard, lines) }()
			c.leave(up, output)
			_ = command("run") // is logged: a pipe is found broken when it is written to
			if err := up.Wait(); err != nil {
				t.Errorf("testbed up: %v", err)
			}
			eventually(t, "everything has ended", func() error {
				if left := processes(home); len(left) > 0 {
					return errors.New(fmt.Sprint(left))
				}
				return nil
			})
		})
	}
}
