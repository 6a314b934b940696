package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// jsonCommand looks into a JSON document:
//
//	json FILE PATH is VALUE       the value, as JSON or as bare text
//	json FILE PATH matches RE     its text
//	json FILE PATH has VALUE      an array or text that contains it
//	json FILE PATH all VALUE      every element, and there is one
//	json FILE PATH len N          of an array or object
//	json FILE PATH keys A,B,C     of an object, sorted, no others
//	json FILE PATH env NAME       puts it into the environment
//
// FILE may be stdout. PATH is names and indices with dots between; * is every
// element; "." is the document.
func jsonCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, false, a, 4, 4, "json FILE PATH OP WANT")
	var doc any
	if err := json.Unmarshal([]byte(ts.ReadFile(a[0])), &doc); err != nil {
		ts.Fatalf("%s: %v", a[0], err)
	}
	got, err := at(doc, a[1])
	if err != nil {
		ts.Fatalf("%s: %v", a[0], err)
	}
	ok, err := judge(ts, got, a[2], a[3])
	ts.Check(err)
	if ok == neg {
		ts.Fatalf("%s: %s is %s", a[0], a[1], shown(got))
	}
}

func judge(ts *testscript.TestScript, got any, op, want string) (bool, error) {
	list, _ := got.([]any)
	object, _ := got.(map[string]any)
	switch op {
	case "is":
		return plain(got) == want || shown(got) == want, nil
	case "matches":
		return matches(ts, want, plain(got)), nil
	case "has":
		for _, v := range list {
			if plain(v) == want {
				return true, nil
			}
		}
		return list == nil && strings.Contains(plain(got), want), nil
	case "all":
		for _, v := range list {
			if plain(v) != want {
				return false, nil
			}
		}
		return len(list) > 0, nil
	case "len":
		return strconv.Itoa(len(list)+len(object)) == want, nil
	case "keys":
		for _, k := range strings.Split(want, ",") {
			if _, ok := object[k]; !ok {
				return false, nil
			}
		}
		return len(object) == strings.Count(want, ",")+1, nil
	case "env":
		ts.Setenv(want, plain(got))
		return true, nil
	}
	return false, fmt.Errorf("unknown operation %s", op)
}

// at follows a path. What is not there is an error, not null.
func at(v any, path string) (any, error) {
	if path == "." || path == "" {
		return v, nil
	}
	first, rest, _ := strings.Cut(path, ".")
	switch v := v.(type) {
	case map[string]any:
		if next, ok := v[first]; ok {
			return at(next, rest)
		}
	case []any:
		if first == "*" {
			all := []any{}
			for _, e := range v {
				got, err := at(e, rest)
				if err != nil {
					return nil, err
				}
				all = append(all, got)
			}
			return all, nil
		}
		if i, err := strconv.Atoi(first); err == nil && i >= 0 && i < len(v) {
			return at(v[i], rest)
		}
	}
	return nil, fmt.Errorf("no %s in %s", first, shown(v))
}

func shown(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// plain is text without its quotes.
func plain(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return shown(v)
}

func matches(ts *testscript.TestScript, pattern, text string) bool {
	re, err := regexp.Compile("(?m)" + pattern)
	ts.Check(err)
	return re.MatchString(text)
}
