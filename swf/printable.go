package swf

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns s without control characters, terminal escape sequences
// and the invisible characters that reorder or hide text: what others wrote, fit
// for a terminal and for a reader who must see all of it. Line breaks and tabs
// stay.
func Printable(s string) string {
	if plain(s) {
		return s
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		if s[i] == 0x1b {
			i += escape(s[i:])
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if !hidden(r) {
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// plain reports whether s is visible ASCII, blanks, tabs and line ends alone, as
// nearly all is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// hidden reports whether a reader of the text would not see this character.
func hidden(r rune) bool {
	if r == '\n' || r == '\t' {
		return false
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r) || (r >= 0xE0000 && r <= 0xE0FFF)
}

// escape returns the length of the terminal escape sequence that s begins
// with: CSI up to its final byte, OSC up to its terminator, else two bytes.
func escape(s string) int {
	if len(s) < 2 {
		return len(s)
	}
	switch s[1] {
	case '[':
		for i := 2; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
			if s[i] < 0x20 {
				return i
			}
		}
		return len(s)
	case ']':
		for i := 2; i < len(s); i++ {
			if s[i] == 0x07 || s[i] == '\n' {
				return i + 1
			}
			if s[i] == 0x1b {
				return min(i+2, len(s))
			}
		}
		return len(s)
	}
	return 1 // the byte behind it is judged on its own
}
