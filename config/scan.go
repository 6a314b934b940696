package config

import (
	"fmt"
	"strings"
)

// Limits on a TOML file, checked before it is parsed: the parser's time grows
// faster than the nesting, so a small file could keep it busy for minutes.
const (
	maxDepth = 8    // parts of a dotted key, and brackets inside of brackets
	maxKeys  = 2000 // keys and table headers
	maxItems = 8000 // commas: elements of all arrays and inline tables
)

// lineIndex maps a dotted key to the line, from 1, on which it is written.
type lineIndex map[string]int

func dotted(parts ...string) string { return strings.Join(parts, "\x00") }

// scanError is a reason not to hand the text to the parser.
type scanError struct {
	line int
	text string
}

func (e *scanError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.text) }

// scanner walks over TOML far enough to count and to know each key's line.
// What it does not understand is an error, so nothing unseen gets through.
type scanner struct {
	text  string
	at    int
	line  int
	keys  int
	items int
	found lineIndex
}

// scan checks the limits and returns the lines of the keys.
func scan(text string) (lineIndex, *scanError) {
	s := &scanner{text: strings.TrimPrefix(text, "\ufeff"), line: 1, found: lineIndex{}}
	var table []string
	for {
		s.skipBlank(true)
		if s.at >= len(s.text) {
			return s.found, nil
		}
		var err *scanError
		if s.text[s.at] == '[' {
			table, err = s.header()
		} else {
			err = s.pair(table)
		}
		if err == nil {
			err = s.endOfLine()
		}
		if err != nil {
			return nil, err
		}
	}
}

func (s *scanner) fail(format string, args ...any) *scanError {
	return &scanError{s.line, fmt.Sprintf(format, args...)}
}

func (s *scanner) has(prefix string) bool { return strings.HasPrefix(s.text[s.at:], prefix) }

// skipBlank skips spaces, and with lines also newlines and comments.
func (s *scanner) skipBlank(lines bool) {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == ' ' || c == '\t':
			s.at++
		case lines && c == '\n':
			s.line++
			s.at++
		case lines && c == '\r':
			s.at++
		case lines && c == '#':
			s.skipComment()
		default:
			return
		}
	}
}

func (s *scanner) skipComment() {
	for s.at < len(s.text) && s.text[s.at] != '\n' {
		s.at++
	}
}

// endOfLine wants nothing but a comment before the next newline.
func (s *scanner) endOfLine() *scanError {
	s.skipBlank(false)
	if s.at >= len(s.text) {
		return nil
	}
	switch s.text[s.at] {
	case '\n', '\r', '#':
		return nil
	}
	return s.fail("the line goes on where it should end")
}

// count adds a key and checks the number of them.
func (s *scanner) count() *scanError {
	if s.keys++; s.keys > maxKeys {
		return s.fail("more than %d keys", maxKeys)
	}
	return nil
}

// header reads [a.b] or [[a.b]].
func (s *scanner) header() ([]string, *scanError) {
	brackets := 1
	if s.has("[[") {
		brackets = 2
	}
	s.at += brackets
	line := s.line
	parts, err := s.key()
	if err != nil {
		return nil, err
	}
	if !s.has("]]"[:brackets]) {
		return nil, s.fail("a table's name ends with %q", "]]"[:brackets])
	}
	s.at += brackets
	s.note(parts, 1, line)
	return parts, s.count()
}

// note records the line of the key and of the tables that it makes, from the
// one with that many parts on, unless an earlier line did.
func (s *scanner) note(parts []string, from, line int) {
	for n := from; n <= len(parts); n++ {
		if _, seen := s.found[dotted(parts[:n]...)]; !seen {
			s.found[dotted(parts[:n]...)] = line
		}
	}
}

// pair reads key = value of a table.
func (s *scanner) pair(table []string) *scanError {
	line := s.line
	parts, err := s.key()
	if err != nil {
		return err
	}
	if !s.has("=") {
		return s.fail("a key is followed by \"=\"")
	}
	s.at++
	full := append(append([]string{}, table...), parts...)
	if len(full) > maxDepth {
		return s.fail("tables are nested more than %d deep", maxDepth)
	}
	s.note(full, len(table)+1, line)
	if err := s.count(); err != nil {
		return err
	}
	return s.value()
}

// key reads a dotted key and the blanks behind it.
func (s *scanner) key() ([]string, *scanError) {
	var parts []string
	for {
		s.skipBlank(false)
		part, err := s.keyPart()
		if err != nil {
			return nil, err
		}
		if parts = append(parts, part); len(parts) > maxDepth {
			return nil, s.fail("tables are nested more than %d deep", maxDepth)
		}
		s.skipBlank(false)
		if !s.has(".") {
			return parts, nil
		}
		s.at++
	}
}

func (s *scanner) keyPart() (string, *scanError) {
	if s.at < len(s.text) && (s.text[s.at] == '"' || s.text[s.at] == '\'') {
		from := s.at + 1
		if err := s.quoted(s.text[s.at : s.at+1]); err != nil {
			return "", err
		}
		return s.text[from : s.at-1], nil
	}
	from := s.at
	for s.at < len(s.text) && isBare(s.text[s.at]) {
		s.at++
	}
	if from == s.at {
		return "", s.fail("a key is expected here")
	}
	return s.text[from:s.at], nil
}

func isBare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}
