package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// event is one line of "go test -json" (go doc test2json).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// report follows a test run. Output is kept until it is known whether anybody
// needs it: that of passing tests is dropped.
type report struct {
	out                     io.Writer
	passed, failed, skipped int

	kept  map[string][]string // output by package and test
	tests map[string]int      // tests finished, by package
	broke map[string]bool     // packages in which a test failed
	skips []string

	attacks results
}

func newReport(out io.Writer) *report {
	return &report{out: out, kept: map[string][]string{}, tests: map[string]int{}, broke: map[string]bool{}, attacks: results{}}
}

// read takes events until the stream ends, and fails at what is no event.
func (r *report) read(events io.Reader) error {
	lines := json.NewDecoder(events)
	for {
		var e event
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading go test's output: %w", err)
		}
		r.add(e)
	}
}

func (r *report) add(e event) {
	switch {
	case e.Action == "build-output":
		fmt.Fprint(r.out, e.Output)
	case e.Action == "output":
		key := e.Package + " " + e.Test
		r.kept[key] = append(r.kept[key], e.Output)
	case e.Test != "":
		r.test(e)
	default:
		r.pkg(e)
	}
}

func (r *report) test(e event) {
	key := e.Package + " " + e.Test
	if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
		r.attacks.add(e, r.kept[key])
	}
	switch e.Action {
	case "pass":
		r.passed++
	case "skip":
		r.skipped++
		r.skips = append(r.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(r.kept[key])))
	case "fail":
		r.failed++
		r.broke[e.Package] = true
		r.show(key)
	default: // run, pause, cont, start, bench: nothing ended
		return
	}
	r.tests[e.Package]++
	delete(r.kept, key)
}

func (r *report) pkg(e event) {
	switch e.Action {
	case "fail":
		if !r.broke[e.Package] { // it did not build, panicked, leaked or timed out
			r.failed++
		}
		r.show(e.Package + " ")
		for key := range r.kept { // tests that were cut off tell where it hung
			if strings.HasPrefix(key, e.Package+" ") {
				r.show(key)
			}
		}
		fmt.Fprintf(r.out, "FAIL  %s\t%.1fs\n", e.Package, e.Elapsed)
	case "pass":
		fmt.Fprintf(r.out, "ok    %s\t%.1fs\t%d tests\n", e.Package, e.Elapsed, r.tests[e.Package])
	case "skip":
		fmt.Fprintf(r.out, "-     %s\tno tests\n", e.Package)
	}
}

func (r *report) show(key string) {
	for _, line := range r.kept[key] {
		fmt.Fprint(r.out, line)
	}
	delete(r.kept, key)
}

// close prints why tests were skipped, and the counts.
func (r *report) close() {
	for _, s := range r.skips {
		fmt.Fprintln(r.out, "skipped", s)
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
}

// reason finds what a test gave to t.Skip among its output.
func reason(output []string) string {
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			return line
		}
	}
	return "no reason given"
}
