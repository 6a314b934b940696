package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestEveryAttackIsTested: each number has a test that the list in docs names,
// and the list names none that is gone.
func TestEveryAttackIsTested(t *testing.T) {
	list, err := findAttacks("../..", "m")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/security-tests.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, names := make([]int, len(titles)+1), map[string]bool{}
	for _, a := range list {
		if a.number < 1 || a.number > len(titles) {
			t.Errorf("%s: there is no attack %d", a.name, a.number)
			continue
		}
		names[a.name] = true
		if strings.Contains(string(page), "`"+a.name+"`") {
			tests[a.number]++
		}
	}
	for _, named := range regexp.MustCompile("`(TestAttack[^`]+)`").FindAllStringSubmatch(string(page), -1) {
		if !names[named[1]] {
			t.Errorf("%s is gone: make security", named[1])
		}
	}
	for n, title := range titles {
		if tests[n+1] == 0 {
			t.Errorf("attack %d has no test, or docs/security-tests.md does not know it (make security): %s", n+1, title)
		}
	}
}

func TestAttackPage(t *testing.T) {
	r := results{}
	for _, e := range []event{
		{Action: "pass", Package: "m/testbed/a", Test: "TestAttack01Own/http"},
		{Action: "pass", Package: "m/testbed/a", Test: "TestAttack01Own/stdio"},
		{Action: "pass", Package: "m/testbed/a", Test: "TestAttack01Own"},
		{Action: "pass", Package: "m/testbed/a", Test: "TestAttack02Twins"},
		{Action: "fail", Package: "m/testbed/b", Test: "TestAttack02Others"},
		{Action: "skip", Package: "m/testbed/b", Test: "TestAttack03Skipped"},
		{Action: "pass", Package: "m/testbed/b", Test: "TestSomethingElse"},
	} {
		r.add(e, []string{"    x_test.go:1: no Java\n"})
	}
	page := attackPage([]attack{
		{1, "TestAttack01Own", "m/testbed/a", "Ann | Bob."}, {2, "TestAttack02Twins", "m/testbed/a", "x"}, {2, "TestAttack02Others", "m/testbed/b", "x"},
		{3, "TestAttack03Skipped", "m/testbed/b", "x"}, {4, "TestAttack04Forgotten", "m/testbed/b", "x"},
	}, r)
	for _, want := range []string{
		"| `TestAttack01Own` | `a` | Ann \\| Bob. | withstood, 2 variants |", "| `TestAttack02Twins` | `a` | x | withstood |",
		"| `TestAttack02Others` | `b` | x | **FAILED** |", "skipped: x_test.go:1: no Java", "| `TestAttack04Forgotten` | `b` | x | did not run |",
		"## 35. " + titles[34] + "\n\nNo test has this number.\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in:\n%s", want, page)
		}
	}
}
