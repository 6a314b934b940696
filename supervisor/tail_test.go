package supervisor

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
)

func TestTail(t *testing.T) {
	dir := t.TempDir()
	out, errs, pipe := filepath.Join(dir, "out"), filepath.Join(dir, "err"), filepath.Join(dir, "pipe")
	write(t, out, "first\n\x1b[31mred\x1b[0m\x00 \xff and äöü\r\nend")
	write(t, errs, "Traceback\nboom\n")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	d := &Daemon{}
	tests := []struct {
		name     string
		out, err string
		n        int
		want     string
	}{
		{"all", out, "", 1000, "first\nred \ufffd and äöü\nend"},
		{"end", out, "", 5, "\nend"},
		{"inside a character", out, "", 6, "\nend"},
		{"both", out, errs, 1000, "first\nred \ufffd and äöü\nendTraceback\nboom\n"},
		{"stderr first", out, errs, 10, "\nend\nboom\n"},
		{"none", "", "", 10, ""},
		{"missing", dir + "/no", "", 10, ""},
		{"pipe", pipe, "", 10, ""},
		{"folder", dir, "", 10, ""},
		{"nothing asked", out, errs, 0, ""},
	}
	for _, tt := range tests {
		got, err := d.Tail(Process{LogFile: tt.out, ErrLogFile: tt.err}, tt.n)
		want := strings.Replace(tt.want, "endT", "end\nT", 1)
		if err != nil || got != want || !utf8.ValidString(got) {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, want)
		}
	}
	if got := clean("a\u202eb\u0085c\x1b]0;t\x07d\te"); got != "abcd\te" {
		t.Errorf("clean = %q", got)
	}
}

func TestWords(t *testing.T) {
	for want, got := range map[string]string{
		"RUNNING": Running.String(), "STATE_7": State(7).String(), "FAULT_7": FaultCode(7).String(),
		"g:a": Process{Name: "a", Group: "g"}.Spec(), "a": Process{Name: "a", Group: "a"}.Spec(),
		"NO_FILE":    (&Fault{Code: FaultNoFile}).Error(),
		"FAILED: x":  (&Fault{Code: FaultFailed, Message: "x"}).Error(),
		"NO_FILE: x": (&Fault{Code: FaultNoFile, Message: "NO_FILE: x"}).Error(),
		"f:3: p":     (&ConfError{Path: "f", Line: 3, Problem: "p"}).Error(),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for s, active := range map[State]bool{Stopped: false, Starting: true, Running: true, Backoff: true,
		Stopping: true, Exited: false, Fatal: false, Unknown: false} {
		if s.Active() != active {
			t.Errorf("%s active = %t", s, !active)
		}
	}
}
