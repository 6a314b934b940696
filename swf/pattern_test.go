package swf

import (
	"regexp"
	"strings"
	"testing"
)

// kinds are all that there are.
var kinds = []Kind{KindUsername, KindNamespace, KindExecution, KindConfig, KindWorkflow, KindCommandID, KindProgram}

// FuzzPattern: a pattern takes what the regular expression takes that callers
// are told, and nothing else.
func FuzzPattern(f *testing.F) {
	compiled := map[Kind]*regexp.Regexp{}
	for _, k := range kinds {
		compiled[k] = regexp.MustCompile(Pattern(k))
	}
	for _, base := range []string{"", "a", "A", "0", "_", "-", ".", "a.toml", ".toml", "a.toml.toml", "a..b", "a/b", "a\n", "ä", "a\x00", "fast_processing", "user-1", "Z^", "a]", "a,b"} {
		for _, n := range []int{1, 30, 31, 32, 63, 64, 127, 128, 200} {
			f.Add(base + strings.Repeat("a", n))
			f.Add(strings.Repeat("a", n) + base)
		}
		f.Add(base)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, k := range kinds {
			if got, want := pattern(k).match(s), compiled[k].MatchString(s); got != want {
				t.Errorf("%s %q: %v, but %s says %v", k, s, got, compiled[k], want)
			}
			if ok := CheckName(k, s) == nil; ok != (compiled[k].MatchString(s) && !strings.Contains(s, "..")) {
				t.Errorf("CheckName(%s, %q): %v", k, s, ok)
			}
		}
	})
}

// FuzzReplyQueue holds IsReplyQueue against its own pattern.
func FuzzReplyQueue(f *testing.F) {
	re := regexp.MustCompile(`^/queue/testbed\.replies\.([A-Za-z0-9_-]{1,64}\.)?[0-9a-f]{32}$`)
	secret := strings.Repeat("0f", 16)
	for _, s := range []string{secret, "user." + secret, "." + secret, "a.b." + secret, secret + "0", secret[1:], "user." + secret + "\n", strings.Repeat("u", 64) + "." + secret, strings.Repeat("u", 65) + "." + secret, secret[:31] + "F"} {
		f.Add(ReplyPrefix + s)
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := IsReplyQueue(s), re.MatchString(s); got != want {
			t.Errorf("%q: %v, not %v", s, got, want)
		}
	})
}
