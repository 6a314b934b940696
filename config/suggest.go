package config

import (
	"fmt"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// suggest is the hint for a name that is not among the valid ones: what was
// probably meant, then all that is possible.
func suggest(name, whatTakes string, valid []string) string {
	list := strings.Join(valid, ", ")
	if len(valid) == 0 {
		list = "nothing"
	}
	if n := swf.Nearest(name, valid); n != "" {
		return fmt.Sprintf("did you mean %q? %s: %s", n, whatTakes, list)
	}
	return fmt.Sprintf("%s: %s", whatTakes, list)
}

// short makes a text from a file fit for a message: one line, no control
// characters, at most 80 bytes.
func short(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		return r
	}, s)
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
