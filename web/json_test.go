package web

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestCheckJSON(t *testing.T) {
	for _, good := range []string{`{}`, `[]`, `1`, `"x"`, ` {"a":{"a":[{"a":1},{"a":2}]},"b":null} `, `{"a":{"b":1},"b":[1,[2]]}`,
		strings.Repeat("[", 10) + strings.Repeat("]", 10)} {
		if err := CheckJSON([]byte(good), 10); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, why := range map[string]string{
		``:                      "no JSON value",
		` `:                     "no JSON value",
		`{`:                     "unexpected",
		`{"a":1`:                "unexpected",
		`{"a"}`:                 "invalid",
		`{"a":1,}`:              "invalid",
		`]`:                     "invalid",
		`{} {}`:                 "follows",
		`{}x`:                   "follows",
		`{}]`:                   "follows",
		`1 2`:                   "follows",
		`{"a":1,"a":2}`:         "twice",
		`{"a":1,"\u0061":2}`:    "twice",
		`[{"x":{"a":1,"a":2}}]`: "twice",
		`{"a":{"c":1},"a":2}`:   "twice",
		"{\"a\xff\":1}":         "UTF-8",
		`{"a\u0000":1}`:         "NUL",
		strings.Repeat("[", 11) + strings.Repeat("]", 11): "deeper",
		strings.Repeat(`{"a":`, 9000):                     "deeper",
	} {
		if err := CheckJSON([]byte(bad), 10); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.50s: %v, want %q", bad, err, why)
		}
	}
}

// FuzzCheckJSON: it never accepts what encoding/json refuses, and always ends.
func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2,{"b":null}]}`, `[[[`, `{"a":1}}`, `{"a":1,"a":1}`, `"\ud800"`, `1e999`, "\xff", `{"a":`, `[1,]`, `{]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := CheckJSON(body, 16); err == nil && !json.Valid(body) {
			t.Fatalf("accepted %q", body)
		}
	})
}
