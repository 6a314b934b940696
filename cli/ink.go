package cli

import (
	"io"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/mattn/go-isatty"
)

// ink lays colour over finished text: only on a terminal, and never where
// NO_COLOR is set (no-color.org) or the terminal cannot show it. Nothing but
// colour is said by colour.
type ink bool

// ink is that of one of the streams.
func (a *app) ink(w io.Writer) ink {
	return ink(isTerminal(w) && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb")
}

// isTerminal reports whether a person reads w as it is written.
func isTerminal(w io.Writer) bool {
	switch w := w.(type) {
	case *screen:
		return true
	case *os.File:
		return isatty.IsTerminal(w.Fd())
	}
	return false
}

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	faint  = "\x1b[2m"
	bold   = "\x1b[1m"
	normal = "\x1b[0m"
)

// colours are those of the words that say how something is.
var colours = map[string]string{
	"RUNNING": green, "running": green, "completed": green, "succeeded": green, "ok": green,
	"FATAL": red, "BACKOFF": red, "failed": red, "FAILED": red, "lost": red,
	"STARTING": yellow, "STOPPING": yellow, "warning": yellow, "refused": yellow, "expired": yellow, "terminated": yellow, "pending": yellow,
	"STOPPED": faint, "EXITED": faint, "exited": faint, "stopped": faint,
}

// stateWords finds them where they stand for themselves: those of supervisord
// everywhere, the others in a column, behind a colon or in brackets, not inside
// of a sentence. It is made for the first text that is coloured.
var stateWords = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)(?:^| |\()(?:RUNNING|FATAL|BACKOFF|FAILED|STARTING|STOPPING|STOPPED|EXITED)\b|` +
		`(?:^|  |: |\()(?:running|completed|succeeded|ok|failed|lost|warning|refused|expired|terminated|pending|exited|stopped)\b`)
})

// lay colours the states in a text.
func (i ink) lay(text string) string {
	if !i {
		return text
	}
	return stateWords().ReplaceAllStringFunc(text, func(m string) string {
		word := strings.TrimLeft(m, " :(")
		return m[:len(m)-len(word)] + colours[word] + word + normal
	})
}

// of is one word in a colour.
func (i ink) of(colour, word string) string {
	if !i {
		return word
	}
	return colour + word + normal
}
