// Command gotest runs "go test" with the arguments given and tells what came
// of it: a line per package as it finishes, the output of what failed, why
// tests were skipped, and the counts in a closing line.
//
// With -attacks FILE it runs the tests of attacks and writes docs/security-tests.md.
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
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run takes "-attacks FILE" before the arguments of go test: then it runs the
// tests of attacks alone and writes what came of them to FILE.
func run(args []string, out io.Writer) error {
	if len(args) < 2 || args[0] != "-attacks" {
		_, err := test(args, out)
		return err
	}
	module, err := exec.Command("go", "list", "-m").Output()
	if err != nil {
		return fmt.Errorf("go list -m: %w", err)
	}
	list, err := findAttacks(".", strings.TrimSpace(string(module)))
	if err != nil {
		return err
	}
	r, failed := test(slices.Concat([]string{"-count=1", "-run", "^TestAttack"}, args[2:], packagesOf(list)), out)
	if r == nil {
		return failed
	}
	return errors.Join(failed, os.WriteFile(args[1], []byte(attackPage(list, r.attacks)), 0o644))
}

// test runs go test and reports. The report is nil when there was no run.
func test(args []string, out io.Writer) (*report, error) {
	args = append(race(out), args...)
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := newReport(out)
	if err := r.read(events); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	err = cmd.Wait()
	r.close()
	switch {
	case err != nil:
		return r, fmt.Errorf("go test: %w", err)
	case r.failed > 0:
		return r, errors.New("tests failed")
	case r.passed == 0:
		return r, errors.New("no test ran")
	}
	return r, nil
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
