package tools

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n":               "plain\ttext\n",
		"\x1b[31mred\x1b[0m":          "red",
		"\x1b]0;title\x07shell":       "shell",
		"\x1b]8;;http://e\x1b\\link":  "link",
		"a\x00b\rc\x7f":               "abc",
		"abc\u202edef\u2066\u200b":    "abcdef",
		"\U000e0041hidden tag":        "hidden tag",
		"\x1b[":                       "",
		"\x1b":                        "",
		"bad \xff utf8":               "bad \uFFFD utf8",
		"\u009b31mC1":                 "31mC1",
		"emoji \U0001F680 and \u00e9": "emoji \U0001F680 and \u00e9",
		"\x1b[31\nnot closed":         "\nnot closed",
	} {
		if got := clean(in, 100); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := clean("\u00e9\u00e9\u00e9", 5); got != "\u00e9\u00e9" {
		t.Errorf("cut %q", got)
	}
	if got := cleanTail("\u00e9\u00e9\u00e9", 5); got != "\u00e9\u00e9" {
		t.Errorf("cut tail %q", got)
	}
}

func TestRepliesAreCapped(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	programs := make([]swf.Program, 1000)
	programs[0] = swf.Program{Name: long, Reason: long, LogTail: long, LogFile: long}
	r := cleanReply(control.Reply{Message: long, Programs: programs, Error: swf.E("x", long, long), Of: &control.Reply{Message: long}})
	if len(r.Message) != maxText || len(r.Programs) != maxList || len(r.Programs[0].LogTail) != maxText || len(r.Error.Hint) != maxText || len(r.Of.Message) != maxText {
		t.Error("a text is longer than it may be")
	}
	if len(programs[0].Name) != len(long) {
		t.Error("the original was changed")
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "abc", "\x1b[31m", "\x1b]0;x\x07", "\u202e", "\xff\xfe", "\U0001F680"} {
		f.Add(s, 8)
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = max(0, min(n, 4096))
		for _, got := range []string{clean(s, n), cleanTail(s, n)} {
			if len(got) > n || !utf8.ValidString(got) || swf.Printable(got) != got {
				t.Errorf("%q became %q", s, got)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, k := range []string{"username", "stf_count", "realtime", "bogus", ""} {
		f.Add(k, "ann", 3.0, true)
	}
	list := params(reflect.TypeFor[RunIn]())
	f.Fuzz(func(t *testing.T, key, s string, n float64, b bool) {
		for _, v := range []any{s, n, b, nil, []any{s}, map[string]any{key: s}} {
			var in RunIn
			err := decode("start_workflow", list, map[string]any{key: v}, reflect.ValueOf(&in).Elem())
			if err != nil && (err.Code != swf.CodeInvalidArgument || err.Hint == "") {
				t.Errorf("%q=%v: %+v", key, v, err)
			}
			if err == nil && in.Username != "" && swf.CheckName(swf.KindUsername, in.Username) != nil {
				t.Errorf("accepted username %q", in.Username)
			}
			if err == nil && in.STFCount != nil && (*in.STFCount < 1 || *in.STFCount > 100_000) {
				t.Errorf("accepted stf_count %d", *in.STFCount)
			}
		}
	})
}
