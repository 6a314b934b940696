package swf

import (
	"fmt"
	"strings"
)

// closed is a pattern of a first character, then further ones up to a number,
// then perhaps an ending. Compiled from the regular expression that its String
// is, each would take 60 kB and the time to make them, in every process: a
// counted repetition is written out there.
type closed struct {
	first, further string // as they stand between brackets
	most           int    // further characters
	ending         string
}

// Pattern returns the closed pattern of a kind of name as a regular expression,
// for schemas that tell it to callers. CheckName refuses ".." besides. An
// unknown kind panics.
func Pattern(kind Kind) string { return pattern(kind).String() }

// pattern is that of every name that reaches a header, a path or a queue.
func pattern(kind Kind) closed {
	switch kind {
	case KindUsername:
		return closed{first: "a-z_", further: "a-z0-9_-", most: 31}
	case KindNamespace, KindCommandID:
		return closed{first: "A-Za-z0-9", further: "A-Za-z0-9._-", most: 63}
	case KindExecution:
		return closed{first: "A-Za-z0-9", further: "A-Za-z0-9._-", most: 127}
	case KindConfig:
		return closed{first: "A-Za-z0-9", further: "A-Za-z0-9._-", most: 63, ending: ".toml"}
	case KindWorkflow:
		return closed{first: "a-z", further: "a-z0-9_", most: 63}
	case KindProgram:
		return closed{first: "A-Za-z0-9_", further: "A-Za-z0-9_.-", most: 63}
	}
	panic(fmt.Sprintf("swf: unknown kind of name %q", kind))
}

// match reports whether s is one.
func (c closed) match(s string) bool {
	if c.ending != "" {
		s = strings.TrimSuffix(s, c.ending)
	}
	if s == "" || len(s) > 1+c.most || !within(c.first, s[0]) {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !within(c.further, s[i]) {
			return false
		}
	}
	return true
}

// within reports whether b is in a class of characters and ranges.
func within(class string, b byte) bool {
	for i := 0; i < len(class); i++ {
		if i+2 < len(class) && class[i+1] == '-' {
			if class[i] <= b && b <= class[i+2] {
				return true
			}
			i += 2
		} else if class[i] == b {
			return true
		}
	}
	return false
}

// String is the pattern as a regular expression.
func (c closed) String() string {
	ending := ""
	if c.ending != "" {
		ending = "(" + strings.ReplaceAll(c.ending, ".", `\.`) + ")?"
	}
	return fmt.Sprintf("^[%s][%s]{0,%d}%s$", c.first, c.further, c.most, ending)
}
