// Command gotest runs "go test" with the arguments given and tells what came
// of it: a line per package as it finishes, the output of what failed, why
// tests were skipped, and the counts in a closing line.
//
// It adds -race where there is a C compiler for it, and fails when a test
// failed, when a package could not be built or when no test ran at all.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	args = append(race(out), args...)
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r := newReport(out)
	if err := r.read(events); err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	err = cmd.Wait()
	r.close()
	switch {
	case err != nil:
		return fmt.Errorf("go test: %w", err)
	case r.failed > 0:
		return errors.New("tests failed")
	case r.passed == 0:
		return errors.New("no test ran")
	}
	return nil
}

// race answers the flag for the race detector, which needs cgo: the go command
// itself turns cgo off where it finds no C compiler.
func race(out io.Writer) []string {
	cgo, err := exec.Command("go", "env", "CGO_ENABLED").Output()
	if err == nil && strings.TrimSpace(string(cgo)) == "1" {
		return []string{"-race"}
	}
	fmt.Fprintln(out, "note: no C compiler, so no race detector")
	return nil
}
