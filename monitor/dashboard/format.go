package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/epic-swf/testbed/swf"
)

// funcs are what templates call. html/template escapes markup by itself; plain
// deals with what a browser would not show, or show in the wrong place.
var funcs = template.FuncMap{
	"plain": plain, "ago": ago, "span": span, "clock": clock, "iso": iso, "look": look, "path": url.PathEscape,
	"pretty": pretty, "percent": percent, "dict": dict, "plural": plural, "query": url.QueryEscape, "spans": spans,
	"words": words, "figure": figure,
}

// plain makes what hides in a text visible: control characters, among them the
// beginnings of escape sequences, as their pictures; characters that have no
// shape or reorder others as a replacement. Line breaks and tabs stay.
func plain(v any) string {
	var s string
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		s = v
	case *string:
		if v == nil {
			return ""
		}
		s = *v
	default:
		s = fmt.Sprint(v)
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < 0x20:
			return 0x2400 + r
		case r == 0x7f:
			return 0x2421
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), r >= 0xE0000 && r <= 0xE0FFF:
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// ago says how long before now something was.
func ago(now time.Time, at any) string {
	t, ok := moment(at)
	if !ok {
		return "never"
	}
	d := now.Sub(t)
	if d < time.Second {
		return "just now"
	}
	return span(d) + " ago"
}

// span is a length of time in its two largest units.
func span(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %02d h", int(d.Hours())/24, int(d.Hours())%24)
}

func moment(at any) (time.Time, bool) {
	var t time.Time
	switch at := at.(type) {
	case time.Time:
		t = at
	case *time.Time:
		if at != nil {
			t = *at
		}
	case swf.Timestamp:
		t = at.Time
	case *swf.Timestamp:
		if at != nil {
			t = at.Time
		}
	}
	return t, !t.IsZero()
}

// clock is a time of day to the millisecond, in UTC, with the date if that is
// another one.
func clock(now time.Time, at any) string {
	t, ok := moment(at)
	if !ok {
		return "–"
	}
	if t.UTC().Format(time.DateOnly) == now.UTC().Format(time.DateOnly) {
		return t.UTC().Format("15:04:05.000")
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

func iso(at any) string {
	t, ok := moment(at)
	if !ok {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// looks are how states are shown: a shape and a colour for each kind, so that
// neither alone must tell.
var looks = map[string]string{
	"running": "good", "succeeded": "good", "completed": "good", "ok": "good", "alive": "good", "ready": "good", "processing": "good",
	"starting": "busy", "stopping": "busy", "pending": "busy", "backoff": "warn",
	"partial": "warn", "warning": "warn", "refused": "warn", "expired": "warn", "terminated": "warn", "silent": "warn",
	"failed": "bad", "fatal": "bad", "error": "bad", "critical": "bad", "lost": "bad", "unreachable": "bad",
}

// look is the kind of a state: good, busy, warn, bad, or idle for all others.
func look(state any) string {
	if kind, ok := looks[strings.ToLower(fmt.Sprint(state))]; ok {
		return kind
	}
	return "idle"
}

// pretty is JSON on several lines, or the text itself if it is none.
func pretty(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return plain(string(raw))
	}
	return plain(b.String())
}

func percent(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return min(100, part*100/whole)
}

// dict makes a map of names and values, for a part that needs several.
func dict(pairs ...any) (map[string]any, error) {
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}

// choice is one value of a filter that has few.
type choice struct{ Value, Name string }

// spans are the times back that lists offer; their addresses take any other.
func spans() []choice {
	return []choice{{"", "any time"}, {"15m", "15 minutes"}, {"1h", "1 hour"}, {"1d", "1 day"}, {"7d", "1 week"}}
}

// words is a name of the wire as people write it.
func words(name string) string { return strings.ReplaceAll(plain(name), "_", " ") }

// figure is a value of free form, numbers no longer than they mean anything.
func figure(v any) string {
	switch v := v.(type) {
	case float64:
		return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
	case string, bool, nil:
		return plain(v)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return plain(v)
	}
	return plain(string(raw))
}
