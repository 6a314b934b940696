package config

import "strings"

// value skips one value: up to the end of its line, or, inside of brackets,
// to the one that closes them.
func (s *scanner) value() *scanError {
	depth, dots := 0, 0
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case c == '"' || c == '\'':
			if err := s.str(); err != nil {
				return err
			}
			continue
		case c == '#':
			if depth == 0 {
				return nil
			}
			s.skipComment()
			continue
		case c == '\n':
			if depth == 0 {
				return nil
			}
			s.line++
		case c == '[' || c == '{':
			dots = 0
			if depth++; depth > maxDepth {
				return s.fail("values are nested more than %d deep", maxDepth)
			}
		case c == ']' || c == '}':
			if depth--; depth < 0 {
				return s.fail("%q closes nothing", string(c))
			}
		case c == ',':
			dots = 0
			if s.items++; s.items > maxItems {
				return s.fail("more than %d values in lists", maxItems)
			}
		case c == '.':
			if dots++; dots >= maxDepth {
				return s.fail("tables are nested more than %d deep", maxDepth)
			}
		case c == '=':
			dots = 0
			if err := s.count(); err != nil {
				return err
			}
		}
		s.at++
	}
	if depth > 0 {
		return s.fail("a bracket is not closed")
	}
	return nil
}

// str skips a string, of one line or, in three quotes, of many.
func (s *scanner) str() *scanError {
	quote := s.text[s.at : s.at+1]
	if long := strings.Repeat(quote, 3); s.has(long) {
		return s.multiline(long)
	}
	return s.quoted(quote)
}

// quoted skips a string of one line, from its opening quote.
func (s *scanner) quoted(quote string) *scanError {
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == quote[0]:
			s.at++
			return nil
		case c == '\n':
			return s.fail("a string is not closed on its line")
		case c == '\\' && quote == `"` && s.at+1 < len(s.text) && s.text[s.at+1] != '\n':
			s.at++
		}
	}
	return s.fail("a string is not closed")
}

func (s *scanner) multiline(quote string) *scanError {
	opened := s.line
	for s.at += 3; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case s.has(quote):
			s.at += 3
			for range 2 { // up to two quotes belong to the text
				if s.has(quote[:1]) {
					s.at++
				}
			}
			return nil
		case c == '\n':
			s.line++
		case c == '\\' && quote[0] == '"' && s.at+1 < len(s.text) && s.text[s.at+1] != '\n':
			s.at++
		}
	}
	s.line = opened
	return s.fail("a string is not closed")
}
