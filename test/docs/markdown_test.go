package docs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	text := "# A title, *here*\n\nSee [it](b.md#x \"t\") and `testbed up`.\n\n```sh exit=3\ntestbed \\\n  run # now\n```\n\n" +
		"    make demo\n    more\n\n<!-- sh\ncd\n-->\n## A title, here\n```toml\n[a](b)\n```\n"
	p, err := parse("x.md", text)
	if err != nil {
		t.Fatal(err)
	}
	want := []block{{line: 5, lang: "sh", text: "testbed \\\n  run # now\n", exit: "3"}, {line: 13, lang: "sh", text: "cd\n"}, {line: 17, lang: "toml", text: "[a](b)\n"}}
	if d := cmp.Diff(want, p.blocks, cmp.AllowUnexported(block{})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]span{{10, "make demo"}, {11, "more"}}, p.indented, cmp.AllowUnexported(span{})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]bool{"a-title-here": true, "a-title-here-1": true}, p.anchors); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]link{{3, "b.md#x"}}, p.links, cmp.AllowUnexported(link{})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]span{{6, "testbed    run # now"}}, p.blocks[0].commands(), cmp.AllowUnexported(span{})); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"```\nx\n```", "```sh skip\n```", "```sh exti=3\n```", "```sh\n"} {
		if _, err := parse("x.md", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
