package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

func TestYAMLSaysWhatJSONSays(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app{out: &out, output: asYAML, getenv: func(string) string { return "" }}
	v := map[string]any{"a": "no", "b": "12", "c": 12, "d": []string{}, "e": nil, "f": "two\nlines", "g": []map[string]any{{"x": "~"}}, "h": "2026-11-23"}
	if err := a.show(v, ""); err != nil {
		t.Fatal(err)
	}
	want := "a: \"no\"\nb: \"12\"\nc: 12\nd: []\ne: null\nf: |-\n  two\n  lines\ng:\n  - x: \"~\"\nh: \"2026-11-23\"\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// TestAttackTableCells: names that others chose make no columns and no lines.
func TestAttackTableCells(t *testing.T) {
	t.Parallel()
	got := table("NAME STATE", [][]string{{"a\tb\nc\x1b[2J", "x"}, {"", "longer"}})
	if want := "NAME     STATE\nabc[2J   x\n-        longer\n"; strings.Count(got, "\n") != 3 || strings.ContainsAny(got, "\t\x1b") {
		t.Errorf("%q, want about %q", got, want)
	}
}

func TestInk(t *testing.T) {
	t.Parallel()
	text := "agent RUNNING pid 1\nRUNNINGS failed_run (failed)\nfailed  x  connection refused\n"
	if got := ink(false).lay(text); got != text {
		t.Errorf("%q", got)
	}
	if got, want := ink(true).lay(text), "agent "+green+"RUNNING"+normal+" pid 1\nRUNNINGS failed_run ("+red+"failed"+normal+")\n"+red+"failed"+normal+"  x  connection refused\n"; got != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

// TestColourIsForTerminals: neither a pipe nor a file is a terminal, and
// NO_COLOR is heard.
func TestColourIsForTerminals(t *testing.T) {
	t.Parallel()
	env := map[string]string{}
	a := &app{getenv: func(name string) string { return env[name] }}
	if a.ink(new(bytes.Buffer)) {
		t.Error("a buffer is sent colours")
	}
	if !a.ink(&screen{}) {
		t.Error("a terminal is sent none")
	}
	for name, value := range map[string]string{"NO_COLOR": "1", "TERM": "dumb"} {
		env = map[string]string{name: value}
		if a.ink(&screen{}) {
			t.Errorf("%s=%s is not heard", name, value)
		}
	}
}

// TestScreen: nothing within the first second, then a line that goes when
// something is written and when the waiting ends.
func TestScreen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		s := &screen{to: &b}
		written := func() string {
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			defer b.Reset()
			return b.String()
		}
		end := s.begin("asking")
		time.Sleep(900 * time.Millisecond)
		if got := written(); got != "" {
			t.Errorf("too early: %q", got)
		}
		time.Sleep(200 * time.Millisecond)
		if got := written(); !strings.Contains(got, " asking (1 s)") {
			t.Errorf("%q", got)
		}
		s.tell("2 of 5 programs\x1b[2J running")
		time.Sleep(time.Second)
		if got := written(); !strings.HasSuffix(got, "2 of 5 programs[2J running (2 s)") {
			t.Errorf("%q", got)
		}
		if _, err := s.Write([]byte("a line\n")); err != nil {
			t.Error(err)
		}
		if got := written(); got != "\r\x1b[Ka line\n" {
			t.Errorf("%q", got)
		}
		end()
		if got := written(); got != "" {
			t.Errorf("after the end: %q", got)
		}
		if s.tell("more") {
			t.Error("it says it waits")
		}
	})
}

func TestDiskFinding(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		free, inodes, freeInodes uint64
		want                     string
	}{
		{1 << 40, 1000, 900, isOK}, {100 << 20, 1000, 900, isWarning}, {1 << 20, 1000, 900, isFailed}, {1 << 40, 1000, 3, isFailed}, {1 << 40, 0, 0, isOK},
	} {
		if f := diskFinding("disk", "/", tt.free, tt.inodes, tt.freeInodes); f.Status != tt.want || (f.Cure == "") != (tt.want == isOK) {
			t.Errorf("%+v: %+v", tt, f)
		}
	}
}

func TestHintsAreInCommands(t *testing.T) {
	t.Parallel()
	for hint, want := range map[string]string{
		"call stop_user_testbed first (Run testbed stop-agents first)": "Run testbed stop-agents first",
		`call get_testbed_status(command_id="k-12") later`:             "call testbed status --command k-12 later",
		"list_workflow_executions lists those":                         "testbed workflow list lists those",
		"nothing of ours":                                              "nothing of ours",
	} {
		if got := inCommands(hint); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

// TestFollow: what is written comes in whole lines, also into the file that a
// rotation puts in the place of the old one, and into one that was cut.
func TestFollow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "p.log")
	var out bytes.Buffer
	w := &logWriter{to: &out}
	l := &logFile{name: "p", path: path}
	defer l.close()
	step := func(do error, want string) {
		t.Helper()
		if err := errors.Join(do, l.more(w), l.more(w), l.more(w)); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Fatalf("%q, not %q", out.String(), want)
		}
		out.Reset()
	}
	write := func(text string, flag int) error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flag, 0o600)
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		return errors.Join(err, f.Close())
	}
	step(nil, "")
	step(write("one\ntw", os.O_APPEND), "one\n")
	step(write("o\nthree\x1b[2J\n", os.O_APPEND), "two\nthree\n")
	step(os.Rename(path, path+".1"), "")
	step(write("four\n", os.O_APPEND), "four\n")
	step(write("5\n", os.O_TRUNC), "5\n")
}

func TestLastLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "p.log")
	if err := os.WriteFile(path, []byte("1\n2\n3\n4"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{0: "", 2: "3\n4\n", 9: "1\n2\n3\n4\n"} {
		var out bytes.Buffer
		l := &logFile{name: "p", path: path}
		if err := l.last(&logWriter{to: &out}, n); err != nil || out.String() != want {
			t.Errorf("%d: %q %v", n, out.String(), err)
		}
		l.close()
	}
}

// TestWatching: elsewhere than on a terminal only what has changed is told,
// and that something cannot be seen for a while ends nothing.
func TestWatching(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		a := &app{out: &out, err: &out, output: asTable, getenv: func(string) string { return "" }}
		ctx, cancel := context.WithCancel(t.Context())
		looks := []seen{{1, "stopped\n"}, {1, "stopped\n"}, {2, "running\n"}, {}, {2, "running\n"}}
		n := 0
		err := a.again(ctx, time.Second, func(context.Context) (seen, error) {
			if n == len(looks) {
				cancel()
				return seen{}, ctx.Err()
			}
			s := looks[n]
			n++
			if s.text == "" {
				return s, swf.E(swf.CodeBusy, "gone", "wait")
			}
			return s, nil
		})
		if want := "stopped\nrunning\ncannot be seen now: gone\nrunning\n"; err != nil || out.String() != want {
			t.Errorf("%v %q", err, out.String())
		}
	})
}

func TestOutcomeOfAnAnswer(t *testing.T) {
	t.Parallel()
	if code := exitCode(outcomeError{control.Reply{Outcome: control.Pending}}); code != ExitPending {
		t.Errorf("exit %d", code)
	}
}
