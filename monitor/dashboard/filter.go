package dashboard

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// pageRows is how many rows one page of a list has.
const pageRows = 50

// filters are what the address of a list says of its rows, so that a link
// carries it. A value that cannot be one is left out and told.
type filters struct {
	url    *url.URL
	values url.Values
	query  store.Query
	Wrong  []string // what was left out
}

func readFilters(u *url.URL) *filters {
	f := &filters{url: u, values: u.Query(), query: store.Query{Equal: map[string]any{}, Limit: pageRows}}
	if text := f.Get("page"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 100_000 {
			f.wrong("page")
		} else {
			f.query.Offset = (n - 1) * pageRows
		}
	}
	return f
}

// Get is a filter's value as it was given.
func (f *filters) Get(name string) string { return strings.TrimSpace(f.values.Get(name)) }

// Any reports whether the list is filtered at all.
func (f *filters) Any() bool {
	for name := range f.values {
		if name != "page" && f.Get(name) != "" {
			return true
		}
	}
	return false
}

// First reports whether this is the newest page of the list: the one that is
// kept live.
func (f *filters) First() bool { return f.query.Offset == 0 }

// Page is the number of this page.
func (f *filters) Page() int { return f.query.Offset/pageRows + 1 }

// Turn is the address of the page by that many further on.
func (f *filters) Turn(by int) string {
	if n := f.Page() + by; n > 1 {
		return with(f.url, "page", strconv.Itoa(n))
	}
	return with(f.url, "page", "")
}

// Clear is the address without filters.
func (f *filters) Clear() string { return f.url.Path }

func (f *filters) wrong(name string) { f.Wrong = append(f.Wrong, name) }

// equal is a filter by the whole value of a column.
func (f *filters) equal(name, column string) {
	if text := f.Get(name); text != "" {
		f.query.Equal[column] = text
	}
}

// contains is a filter by a part of it.
func (f *filters) contains(name, column string) {
	if text := f.Get(name); text != "" {
		f.query.Where = append(f.query.Where, store.Condition{Column: column, Is: store.Contains, Value: text})
	}
}

// since is a filter by time: "15m", "2h", "3d", or a moment.
func (f *filters) since(name, column string, now time.Time) {
	text := f.Get(name)
	if text == "" {
		return
	}
	at, ok := sinceMoment(text, now)
	if !ok {
		f.wrong(name)
		return
	}
	f.query.Where = append(f.query.Where, store.Condition{Column: column, Is: store.AtLeast, Value: at})
}

func sinceMoment(text string, now time.Time) (time.Time, bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		return now.AddDate(0, 0, -n), err == nil && n > 0 && n < 10_000
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), d > 0
	}
	at, err := swf.ParseTimestamp(text)
	return at.Time, err == nil
}
