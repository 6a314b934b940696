package swf

import "strings"

// Nearest is the one of the names that was probably meant by name, "" when all
// of them are other words.
func Nearest(name string, names []string) string {
	best, bestAt := "", len(name)/2+2
	for _, c := range names {
		if d := Distance(strings.ToLower(name), strings.ToLower(c), bestAt); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// Distance is the Levenshtein distance between a and b, in bytes, counted up
// to limit: names are short, files and callers are not trusted to have short
// ones.
func Distance(a, b string, limit int) int {
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
