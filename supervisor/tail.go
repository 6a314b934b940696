package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// Tail is the end of what the process wrote, at most about n bytes, fit for a
// person or a message: valid UTF-8, no control characters but new lines and
// tabs. It reads the log files directly, because supervisord fails at binary
// bytes. What went to a stderr log of its own comes last. No log, or none yet,
// is an empty string.
func (d *Daemon) Tail(p Process, n int) (string, error) {
	errs, err := tailFile(p.ErrLogFile, n/2)
	if err != nil {
		return "", err
	}
	out, err := tailFile(p.LogFile, n-len(errs))
	if err != nil {
		return "", err
	}
	if out != "" && errs != "" && !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	return out + errs, nil
}

func tailFile(path string, n int) (string, error) {
	if path == "" || n <= 0 {
		return "", nil
	}
	// O_NONBLOCK: a named pipe in the place of a log must not stop us.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("log: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("log: %w", err)
	}
	if !st.Mode().IsRegular() {
		return "", nil
	}
	off := max(0, st.Size()-int64(n))
	b := make([]byte, st.Size()-off)
	got, err := f.ReadAt(b, off)
	if got == 0 && err != nil && st.Size() > off {
		return "", fmt.Errorf("log: %w", err)
	}
	b = b[:got]
	if off > 0 { // not in the middle of a character
		for i := 0; i < utf8.UTFMax-1 && len(b) > 0 && !utf8.RuneStart(b[0]); i++ {
			b = b[1:]
		}
	}
	return clean(string(b)), nil
}

// escapes are what programs write to colour a terminal or set its title.
var escapes = regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)?|[@-Z\\\\^_])")

// clean leaves text that cannot act on a terminal nor mislead its reader.
func clean(s string) string {
	s = escapes.ReplaceAllString(s, "")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case r == '\r':
			return '\n'
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r // invalid bytes arrive as U+FFFD
	}, s)
}
