package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// helps knows what each command's --help says.
type helps struct {
	bin  string
	home string
	said map[string]string
}

func (h *helps) of(t *testing.T, command []string) string {
	t.Helper()
	key := strings.Join(command, " ")
	if text, ok := h.said[key]; ok {
		return text
	}
	cmd := exec.Command(filepath.Join(h.bin, command[0]), append(slices.Clone(command[1:]), "--help")...)
	cmd.Env = []string{"HOME=" + h.home, "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s --help: %v\n%s", key, err, out)
	}
	h.said[key] = string(out)
	return string(out)
}

var (
	programRE = regexp.MustCompile(`^(testbed|swf-mcp|agent-manager|swf-agent)( |$)`)
	wordRE    = regexp.MustCompile(`^[a-z][a-z-]*(\|[a-z][a-z-]*)*$`)
	listedRE  = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*) `)
	targetRE  = regexp.MustCompile(`^make ([a-z][a-z-]*)`)
	joinRE    = regexp.MustCompile(`\s*(\|\||&&|[|;>&] )\s*`)
)

// subcommands are those that a help lists.
func subcommands(help string) []string {
	_, rest, found := strings.Cut(help, "Available Commands:\n")
	if !found {
		return nil
	}
	list, _, _ := strings.Cut(rest, "\n\n")
	var names []string
	for _, m := range listedRE.FindAllStringSubmatch(list, -1) {
		names = append(names, m[1])
	}
	return names
}

// check complains of what a mentioned command's help does not have.
func (h *helps) check(t *testing.T, where string, text string) {
	t.Helper()
	text, _, _ = strings.Cut(text, " #")
	words := strings.Fields(text)
	command := words[:1:1]
	rest := words[1:]
	for len(rest) > 0 {
		names := subcommands(h.of(t, command))
		if len(names) == 0 || !wordRE.MatchString(rest[0]) {
			break
		}
		all := strings.Split(rest[0], "|")
		for _, name := range all {
			if !slices.Contains(names, name) {
				t.Errorf("%s: %s: %s has no command %q", where, text, strings.Join(command, " "), name)
				return
			}
		}
		command, rest = append(command, all[0]), rest[1:]
	}
	help := h.of(t, command)
	for _, word := range rest {
		flag, _, _ := strings.Cut(strings.Trim(word, "[]…,"), "=")
		if len(flag) < 2 || flag[0] != '-' {
			continue
		}
		known := regexp.MustCompile(`(^|[\s,])` + regexp.QuoteMeta(flag) + `([\s,]|$)`)
		if !known.MatchString(help) {
			t.Errorf("%s: %s: %s has no flag %s", where, text, strings.Join(command, " "), flag)
		}
	}
}

// pythonCommands are those of the Python testbed, which docs/migration.md
// mentions beside ours.
var pythonCommands = regexp.MustCompile(`^testbed (start|stop|start-local|stop-local|status-local)( |$)`)

// TestMentionedCommands holds every command that a page mentions, in a sentence
// or in a block that is not run, against what the programs have.
func TestMentionedCommands(t *testing.T) {
	s := needSite(t)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	h := &helps{bin: s.bin, home: t.TempDir(), said: map[string]string{}}
	for _, p := range pages(t) {
		mentions := slices.Clone(p.spans)
		for _, b := range p.blocks {
			if b.lang != "sh" || b.notRun == "" {
				continue
			}
			for _, c := range b.commands() {
				for _, part := range joinRE.Split(c.text, -1) {
					mentions = append(mentions, span{c.line, part})
				}
			}
		}
		for _, m := range mentions {
			where := fmt.Sprintf("%s:%d", p.name, m.line)
			if made := targetRE.FindStringSubmatch(m.text); made != nil && !strings.Contains("\n"+string(makefile), "\n"+made[1]+":") {
				t.Errorf("%s: %s: the Makefile has no %s", where, m.text, made[1])
			}
			if programRE.MatchString(m.text) && (p.name != "docs/migration.md" || !pythonCommands.MatchString(m.text)) {
				h.check(t, where, m.text)
			}
		}
	}
}
