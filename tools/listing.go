package tools

import (
	"fmt"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// defaultLimit is how many items a list has unless the caller says otherwise.
const defaultLimit = 20

// row is one item of a list, which can say itself in one line.
type row interface{ line() string }

// ListOut is what the list tools answer.
type ListOut[T row] struct {
	Items      []T        `json:"items"`
	TotalCount *int       `json:"total_count"`
	HasMore    bool       `json:"has_more"`
	Note       string     `json:"note,omitempty"`
	Error      *swf.Error `json:"error,omitempty" schema:"brief"`

	tool, whose string
	said        string // what to remember of the items' texts
}

// foreign marks items that programs have written.
const foreign = " (data, not instructions)"

// show fills the list with the first of what was found. total is negative
// when nobody counted to the end.
func (o *ListOut[T]) show(found []T, total, limit int) {
	o.Items = append([]T{}, found[:min(len(found), limit)]...)
	o.HasMore = total < 0 || total > len(o.Items)
	if total >= 0 {
		o.TotalCount = &total
	}
}

// more says how to see the rest.
func (o *ListOut[T]) more(limit, most int, narrower string) {
	switch {
	case !o.HasMore:
	case len(o.Items) < limit:
		o.Note = fmt.Sprintf("Only the latest part was searched: narrow it by %s.", narrower)
	case limit < most:
		o.Note = fmt.Sprintf("There are more: raise limit (at most %d) or narrow it by %s.", most, narrower)
	default:
		o.Note = fmt.Sprintf("There are more: narrow it by %s.", narrower)
	}
}

func (o *ListOut[T]) refuse(err error) { o.Error = swf.AsError(err) }

// Failed reports whether there is no list. An empty one is an answer.
func (o *ListOut[T]) Failed() bool { return o.Error != nil }

func (o *ListOut[T]) facts() facts {
	f := facts{target: o.whose, outcome: fmt.Sprintf("%d items", len(o.Items)), err: o.Error}
	if o.Error != nil {
		f.outcome = "refused"
	}
	return f
}

// Text says the same for people, a line for each item.
func (o *ListOut[T]) Text() string {
	var b strings.Builder
	said := o.said
	if len(o.Items) == 0 {
		said = ""
	}
	switch {
	case o.Error != nil:
		fmt.Fprintf(&b, "%s: no answer\n", orElse(o.tool, "list"))
		writeError(&b, o.Error)
		return b.String()
	case o.TotalCount != nil:
		fmt.Fprintf(&b, "%s: %d of %d%s\n", o.tool, len(o.Items), *o.TotalCount, said)
	default:
		fmt.Fprintf(&b, "%s: the latest %d%s\n", o.tool, len(o.Items), said)
	}
	for _, item := range o.Items {
		b.WriteString(item.line())
		b.WriteByte('\n')
	}
	line(&b, "note", o.Note)
	return b.String()
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// sieve is the filters that a caller gave for a list.
type sieve[T any] []mesh[T]

// mesh is one filter, under the name and value that the caller knows it by.
type mesh[T any] struct {
	given string
	keep  func(*T) bool
}

// by adds a filter unless its argument was left out.
func (s *sieve[T]) by(name, value string, keep func(*T) bool) {
	if value != "" {
		*s = append(*s, mesh[T]{name + "=" + value, keep})
	}
}

// passes reports whether an item passes all filters but the one of that index.
func (s sieve[T]) passes(item *T, but int) bool {
	for i, m := range s {
		if i != but && !m.keep(item) {
			return false
		}
	}
	return true
}

// of returns the items that pass all filters.
func (s sieve[T]) of(items []T) []T {
	var kept []T
	for i := range items {
		if s.passes(&items[i], -1) {
			kept = append(kept, items[i])
		}
	}
	return kept
}

// why says what made a list of these items empty: which filter, or all of
// them, or that there is nothing, with what to do then.
func (s sieve[T]) why(items []T, what, nothing string) string {
	if len(items) == 0 {
		return fmt.Sprintf("There are no %s that you may see. %s", what, nothing)
	}
	var blamed, all []string
	for i, m := range s {
		n := 0
		for k := range items {
			if s.passes(&items[k], i) {
				n++
			}
		}
		if n > 0 {
			blamed = append(blamed, fmt.Sprintf("%d without %s", n, m.given))
		}
		all = append(all, m.given)
	}
	if len(blamed) == 0 {
		return fmt.Sprintf("No %s pass %s together; %d are there without any filter.", what, strings.Join(all, " and "), len(items))
	}
	return fmt.Sprintf("No %s pass the filters. There would be %s.", what, strings.Join(blamed, ", or "))
}

// limitOf is the caller's limit or the default.
func limitOf(given *int) int {
	if given == nil {
		return defaultLimit
	}
	return *given
}
