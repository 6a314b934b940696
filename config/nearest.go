package config

import (
	"fmt"
	"strings"
)

// Nearest is the one of the names that was probably meant, "" when all of them
// are other words.
func Nearest(name string, names []string) string { return nearest(name, names) }

// nearest returns the candidate with the smallest edit distance to name, or ""
// when even that one is another word altogether.
func nearest(name string, candidates []string) string {
	best, bestAt := "", len(name)/2+2
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c), bestAt); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance between a and b, in bytes, counted up
// to limit: names are short, files are not trusted to have short ones.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit || len(a) > 128 || len(b) > 128 {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// suggest is the hint for a name that is not among the valid ones: what was
// probably meant, then all that is possible.
func suggest(name, whatTakes string, valid []string) string {
	list := strings.Join(valid, ", ")
	if len(valid) == 0 {
		list = "nothing"
	}
	if n := nearest(name, valid); n != "" {
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
