package docs

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// TestLinks follows those within the repository, and looks at the form of the
// others: a test does not depend on who answers in the Internet.
func TestLinks(t *testing.T) {
	all := map[string]*page{}
	for _, p := range pages(t) {
		all[p.name] = p
	}
	for _, p := range all {
		for _, l := range p.links {
			u, err := url.Parse(l.target)
			if err != nil {
				t.Errorf("%s:%d: %v", p.name, l.line, err)
				continue
			}
			if u.Scheme != "" {
				if u.Scheme != "https" || u.Host == "" {
					t.Errorf("%s:%d: %s is no https address", p.name, l.line, l.target)
				}
				continue
			}
			to := p.name
			if u.Path != "" {
				to = path.Join(path.Dir(p.name), u.Path)
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s:%d: %s is not there", p.name, l.line, to)
			}
			if target := all[to]; u.Fragment != "" && (target == nil || !target.anchors[u.Fragment]) {
				t.Errorf("%s:%d: %s has no heading #%s", p.name, l.line, to, u.Fragment)
			}
		}
	}
}

// TestEveryPageIsLinked: what README.md does not lead to, nobody finds.
func TestEveryPageIsLinked(t *testing.T) {
	list := pages(t)
	for _, p := range list {
		if p.name == "README.md" {
			continue
		}
		found := false
		for _, from := range list {
			for _, l := range from.links {
				to, _, _ := strings.Cut(l.target, "#")
				found = found || (from != p && path.Join(path.Dir(from.name), to) == p.name)
			}
		}
		if !found {
			t.Errorf("no page links to %s", p.name)
		}
	}
}
