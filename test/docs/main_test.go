package docs

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/supervisor"
)

var update = flag.Bool("update", false, "write the references that are made from the code")

// dir holds everything of this run. Its path is short: sockets live below it.
var dir string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	parent := os.TempDir()
	if len(parent) > 24 {
		parent = "/tmp"
	}
	var err error
	if dir, err = os.MkdirTemp(parent, "docs"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	return m.Run()
}

// theSite is made once, for who needs it.
var theSite = sync.OnceValues(func() (*site, error) { return newSite(context.Background(), dir) })

// needSite skips where a page's commands cannot be run; with CI set that is a
// failure.
func needSite(t *testing.T) *site {
	t.Helper()
	for _, name := range []string{"bash", "git", "make"} {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatal("needs ", name)
		}
		t.Skip("needs ", name)
	}
	if _, err := supervisor.FindBinary("", os.Getenv); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs supervisord: ", err)
	}
	s, err := theSite()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pages are all of them, README.md first.
func pages(t *testing.T) []*page {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	names = append([]string{filepath.Join(root, "README.md"), filepath.Join(root, "SECURITY.md")}, names...)
	var list []*page
	for _, path := range names {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := parse(name, string(text))
		if err != nil {
			t.Error(err)
			continue
		}
		list = append(list, p)
	}
	return list
}

// visit makes a session that leaves nothing running.
func visit(t *testing.T, s *site, name string, programs bool) *session {
	t.Helper()
	v, err := s.visitor(name, programs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.end(); err != nil {
			t.Error(err)
		}
		for _, p := range left(filepath.Dir(v.home)) {
			t.Error("left running: ", p)
		}
	})
	return v
}

// do runs a block, and says how long that took.
func do(t *testing.T, v *session, p *page, b block) string {
	t.Helper()
	first := strings.Join(strings.Fields(strings.SplitN(b.commands()[0].text, "#", 2)[0]), " ")
	began := time.Now()
	out, err := v.run(t.Context(), b)
	if err != nil {
		t.Fatalf("%s:%d: %v\n%s\nprinted:\n%s", p.name, b.line, err, b.text, out)
	}
	t.Logf("%5.1f s  %s:%d  %s", time.Since(began).Seconds(), p.name, b.line, first)
	return out
}
