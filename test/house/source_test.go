package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// pkg is a folder with Go files, by its path below the module's root.
type pkg struct {
	path  string
	files []file
}

type file struct {
	name string // path below the root
	test bool
	ast  *ast.File
	fset *token.FileSet
}

func (f file) at(p token.Pos) string {
	return fmt.Sprintf("%s:%d", f.name, f.line(p))
}

func (f file) line(p token.Pos) int { return f.fset.Position(p).Line }

// lines counts those of the text between two positions.
func (f file) lines(n ast.Node) int { return f.line(n.End()) - f.line(n.Pos()) + 1 }

func (f file) length() int { return f.fset.File(f.ast.Pos()).LineCount() }

// name is the package's own, also where a test calls itself NAME_test.
func (p pkg) name() string {
	name := p.files[0].ast.Name.Name
	if p.files[0].test {
		name = strings.TrimSuffix(name, "_test")
	}
	return name
}

func (p pkg) main() bool { return p.name() == "main" }

// packages parses every Go file of the module.
func packages(t *testing.T) []pkg {
	t.Helper()
	var all []pkg
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parse(path)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(f.name))
		i := slices.IndexFunc(all, func(p pkg) bool { return p.path == dir })
		if i < 0 {
			all = append(all, pkg{path: dir})
			i = len(all) - 1
		}
		all[i].files = append(all[i].files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no Go files found")
	}
	return all
}

func parse(path string) (file, error) {
	name, err := filepath.Rel(root, path)
	if err != nil {
		return file{}, err
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return file{}, err
	}
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	return file{name: name, test: strings.HasSuffix(path, "_test.go"), ast: tree, fset: fset}, nil
}
