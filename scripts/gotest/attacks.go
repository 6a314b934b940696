package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// titles are the attacks that the testbed must survive; the number of a test,
// TestAttack07…, is the place in this list, from 1.
var titles = []string{
	"A token of one user on another's testbed", "Names that look like another's", "Another's execution", "Another's namespace", "An old protocol version",
	"Bad, expired and forged tokens", "Tokens in the wrong place", "A stolen command or session id", "DNS rebinding", "A foreign web page",
	"Requests without a token", "Slow clients and idle connections", "Huge, endless and deep bodies", "Smuggled JSON", "Floods of sessions, streams and calls",
	"Another's session", "Markup and escape sequences in what programs say", "Header injection through names", "Queue names that mean more", "Forged commands",
	"Replayed commands", "Replies sent where they hurt", "Forged outcomes", "Poisoned messages", "Forged heartbeats", "A hostile broker",
	"Configuration names that are paths", "Configurations that explode", "Values that are code", "Program names that are options", "Sockets and files of others", "A pid that is somebody else's by now",
	"Instructions hidden in data", "Guessed names and arguments", "A model that goes round in circles",
}

// attack is a test of an attack.
type attack struct {
	number          int
	name, pkg, says string // says is the first sentence of its comment
}

var attackRE = regexp.MustCompile(`^TestAttack(\d\d)[A-Z]`)

// findAttacks reads the module's test files for tests of attacks.
func findAttacks(root, module string) (list []attack, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "func TestAttack") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		pkg, err := filepath.Rel(root, filepath.Dir(path))
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			if m := attackRE.FindStringSubmatch(f.Name.Name); m != nil {
				n, _ := strconv.Atoi(m[1])
				list = append(list, attack{n, f.Name.Name, module + "/" + filepath.ToSlash(pkg), sentence(f)})
			}
		}
		return err
	})
	slices.SortFunc(list, func(a, b attack) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.name, b.name))
	})
	return list, err
}

// sentence is what the comment of a test says first, without its name; else
// the words of the name.
func sentence(f *ast.FuncDecl) string {
	s := new(doc.Package).Synopsis(f.Doc.Text())
	s = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(s, f.Name.Name), ":"))
	if s == "" {
		s = wordRE.ReplaceAllStringFunc(f.Name.Name[len("TestAttack00"):], func(word string) string { return " " + strings.ToLower(word) })
		s = strings.TrimSpace(s) + "."
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

var wordRE = regexp.MustCompile(`[A-Z][a-z0-9]+`)

// packagesOf are the packages that have such tests.
func packagesOf(list []attack) (pkgs []string) {
	for _, a := range list {
		pkgs = append(pkgs, a.pkg)
	}
	slices.Sort(pkgs)
	return slices.Compact(pkgs)
}

// results counts how the tests of a run ended, each with those inside it.
type results map[string]*result // by package and test

type result struct {
	passed, failed, skipped int
	reason                  string
}

// add takes one event of a test that ended.
func (r results) add(e event, output []string) {
	top, _, inner := strings.Cut(e.Test, "/")
	if !attackRE.MatchString(top) {
		return
	}
	of := r[e.Package+" "+top]
	if of == nil {
		of = &result{}
		r[e.Package+" "+top] = of
	}
	switch {
	case e.Action == "fail":
		of.failed++
	case e.Action == "skip":
		of.skipped++
		of.reason = reason(output)
	case inner || of.passed == 0:
		of.passed++
	}
}

// String says how a test ended, and in how many variants.
func (r *result) String() string {
	switch {
	case r == nil:
		return "did not run"
	case r.failed > 0:
		return "**FAILED**"
	case r.passed == 0:
		return "skipped: " + r.reason
	case r.passed > 1:
		return fmt.Sprintf("withstood, %d variants", r.passed)
	}
	return "withstood"
}

// attackPage is the list of all attacks with their results, in Markdown.
func attackPage(list []attack, r results) string {
	var b strings.Builder
	fmt.Fprint(&b, `# Attacks that the testbed withstands

Made by "make security" from the tests' names, their comments and their results; do not edit. The model behind them is in
[SECURITY.md](../SECURITY.md). Withstood means: no effect, an answer that tells nothing, a record in the audit trail where
somebody asked, the process alive. A variant is one transport and protocol version, one broker or one row of a table.
`)
	for i, title := range titles {
		fmt.Fprintf(&b, "\n## %d. %s\n\n", i+1, title)
		none := true
		for _, a := range list {
			if a.number != i+1 {
				continue
			}
			if none {
				b.WriteString("| test | in | what it does | result |\n|---|---|---|---|\n")
			}
			none = false
			in := a.pkg[strings.Index(a.pkg, "testbed/")+len("testbed/"):]
			fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", a.name, in, strings.ReplaceAll(a.says, "|", "\\|"), r[a.pkg+" "+a.name])
		}
		if none {
			b.WriteString("No test has this number.\n")
		}
	}
	return b.String()
}
