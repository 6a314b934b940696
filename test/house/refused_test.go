package house

import (
	"go/ast"
	"strings"
	"testing"
)

// refused are calls with no place below cmd, and what to do instead.
var refused = map[string]string{
	"log.Fatal":   "return the error",
	"log.Fatalf":  "return the error",
	"log.Fatalln": "return the error",
	"os.Exit":     "return the error; cmd exits",
	"time.Sleep":  "select on a timer and the context",
}

func TestRefusedCalls(t *testing.T) {
	for _, p := range packages(t) {
		if p.main() {
			continue
		}
		for _, f := range p.files {
			if f.test {
				continue
			}
			calls(f.ast, func(name string, c *ast.CallExpr) {
				if instead, bad := refused[name]; bad {
					t.Errorf("%s: no %s here: %s", f.at(c.Pos()), name, instead)
				}
			})
		}
	}
}

// TestNoTestSleeps allows two: a poll, which is a short sleep in a loop, where
// another process offers no event to wait for; and any sleep in a file with
// testing/synctest, where time is false.
func TestNoTestSleeps(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.files {
			if !f.test || imports(f, "testing/synctest") {
				continue
			}
			polls := map[*ast.CallExpr]bool{}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if loop, ok := n.(*ast.ForStmt); ok {
					calls(loop, func(_ string, c *ast.CallExpr) { polls[c] = short(c) })
				}
				return true
			})
			calls(f.ast, func(name string, c *ast.CallExpr) {
				if name == "time.Sleep" && !polls[c] {
					t.Errorf("%s: a test waits for an event, not for time to pass", f.at(c.Pos()))
				}
			})
		}
	}
}

// short tells whether a sleep's argument is N * time.Millisecond, N under 100.
func short(sleep *ast.CallExpr) bool {
	if len(sleep.Args) != 1 {
		return false
	}
	by, ok := sleep.Args[0].(*ast.BinaryExpr)
	if !ok {
		return false
	}
	n, ok := by.X.(*ast.BasicLit)
	unit, isUnit := by.Y.(*ast.SelectorExpr)
	return ok && len(n.Value) <= 2 && isUnit && unit.Sel.Name == "Millisecond"
}

// TestNoInit: what registers itself cannot be found by reading.
func TestNoInit(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.files {
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: no init functions: let a caller list it", f.at(fn.Pos()))
				}
			}
		}
	}
}

// calls visits the calls below n of a package's functions, named as
// "package.Function".
func calls(n ast.Node, visit func(name string, c *ast.CallExpr)) {
	ast.Inspect(n, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if sel, ok := c.Fun.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok {
				visit(x.Name+"."+sel.Sel.Name, c)
			}
		}
		return true
	})
}

func imports(f file, path string) bool {
	for _, imp := range f.ast.Imports {
		if strings.Trim(imp.Path.Value, `"`) == path {
			return true
		}
	}
	return false
}
