package house

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"
)

// The limits. A file or function that outgrows them has a second subject.
const (
	maxMain     = 15
	maxFile     = 400
	maxFunction = 60
	minComment  = 3
	maxComment  = 8
)

// vague are names that say nothing and so collect everything.
var vague = []string{"util", "utils", "common", "types", "helper", "helpers", "base", "misc", "shared", "lib", "pkg", "src", "internal"}

func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		if p.main() {
			continue
		}
		found := false
		for _, f := range p.files {
			if f.ast.Doc == nil {
				continue
			}
			if base := path.Base(f.name); base != "doc.go" {
				t.Errorf("%s: the package comment belongs into doc.go", f.name)
				continue
			}
			found = true
			if n := f.lines(f.ast.Doc); n < minComment || n > maxComment {
				t.Errorf("%s: the package comment has %d lines, not %d to %d", f.name, n, minComment, maxComment)
			}
			if want := "Package " + f.ast.Name.Name + " "; !strings.HasPrefix(f.ast.Doc.Text(), want) {
				t.Errorf("%s: the package comment does not begin with %q", f.name, want)
			}
		}
		if !found {
			t.Errorf("package %s has no doc.go that says its job, what it must not know and where to start reading", p.path)
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, p := range packages(t) {
		for _, part := range strings.Split(p.path, "/") {
			if slices.Contains(vague, part) {
				t.Errorf("package %s: the name %q says nothing; name what it is about", p.path, part)
			}
		}
		if p.name() != path.Base(p.path) && !p.main() {
			t.Errorf("package %s calls itself %s", p.path, p.name())
		}
	}
}

func TestMainsAreDoorbells(t *testing.T) {
	for _, p := range packages(t) {
		if !strings.HasPrefix(p.path, "cmd/") {
			continue
		}
		if len(p.files) != 1 {
			t.Errorf("%s has %d files, not 1: what is more than a doorbell belongs into cli", p.path, len(p.files))
		}
		for _, f := range p.files {
			if n := f.length(); n > maxMain {
				t.Errorf("%s has %d lines, more than %d", f.name, n, maxMain)
			}
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.files {
			if n := f.length(); n >= maxFile {
				t.Errorf("%s has %d lines, not under %d: split it by subject", f.name, n, maxFile)
			}
		}
	}
}

// TestFunctionsAreShort does not count the lines of tables: literals of several
// lines that contain no code. A function inside another counts as its own.
func TestFunctionsAreShort(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.files {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				var body *ast.BlockStmt
				name := "a function literal"
				switch fn := n.(type) {
				case *ast.FuncDecl:
					body, name = fn.Body, fn.Name.Name
				case *ast.FuncLit:
					body = fn.Body
				}
				if body == nil {
					return true
				}
				if own := f.lines(n) - notOwn(f, body); own >= maxFunction {
					t.Errorf("%s: %s has %d lines of its own, not under %d", f.at(n.Pos()), name, own, maxFunction)
				}
				return true
			})
		}
	}
}

// notOwn counts the lines in body that are not its own code: those within tables
// and within inner functions.
func notOwn(f file, body *ast.BlockStmt) int {
	n := 0
	ast.Inspect(body, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncLit:
			n += f.lines(node) - 1
			return false
		case *ast.CompositeLit:
			if !hasFunction(node) {
				n += f.lines(node) - 1
				return false
			}
		}
		return true
	})
	return n
}

func hasFunction(n ast.Node) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		_, ok := n.(*ast.FuncLit)
		found = found || ok
		return !found
	})
	return found
}
