package web

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestCheckJSON(t *testing.T) {
	for _, good := range []string{`{}`, `{"a":"{\"a\":[","b":"\\"}`, `["a","a"]`, `{"a":["b","b"],"b":{"a":1}}`, `[]`, `1`, `"x"`, ` {"a":{"a":[{"a":1},{"a":2}]},"b":null} `, `{"a":{"b":1},"b":[1,[2]]}`,
		strings.Repeat("[", 10) + strings.Repeat("]", 10)} {
		if err := CheckJSON([]byte(good), 10); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, why := range map[string]string{
		``:                      "unexpected end",
		` `:                     "unexpected end",
		`{`:                     "unexpected",
		`{"a":1`:                "unexpected",
		`{"a"}`:                 "invalid",
		`{"a":1,}`:              "invalid",
		`]`:                     "invalid",
		`{} {}`:                 "after top-level",
		`{}x`:                   "after top-level",
		`{}]`:                   "after top-level",
		`1 2`:                   "after top-level",
		`{"a":1,"a":2}`:         "twice",
		`{"a":1,"\u0061":2}`:    "twice",
		`[{"x":{"a":1,"a":2}}]`: "twice",
		`{"a":{"c":1},"a":2}`:   "twice",
		"{\"a\xff\":1}":         "UTF-8",
		`{"a\u0000":1}`:         "NUL",
		strings.Repeat("[", 11) + strings.Repeat("]", 11):               "deeper",
		strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000): "deeper",
		strings.Repeat("[", 1<<20):                                      "depth",
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
		err := CheckJSON(body, 16)
		if err == nil && !json.Valid(body) {
			t.Fatalf("accepted %q", body)
		}
		if v := any(nil); err == nil && json.Unmarshal(body, &v) == nil {
			checkKeys(t, body, v)
		}
	})
}

// checkKeys: as many keys stand in the text as the decoder kept.
func checkKeys(t *testing.T, body []byte, v any) {
	t.Helper()
	dec, tokens := json.NewDecoder(strings.NewReader(string(body))), 0
	for {
		if _, err := dec.Token(); err != nil {
			break
		}
		tokens++
	}
	if want := count(v); tokens != want {
		t.Fatalf("%q has %d tokens, its value %d", body, tokens, want)
	}
}

// count is how many tokens write v.
func count(v any) int {
	n := 2
	switch v := v.(type) {
	case map[string]any:
		for _, item := range v {
			n += 1 + count(item)
		}
	case []any:
		for _, item := range v {
			n += count(item)
		}
	default:
		return 1
	}
	return n
}
