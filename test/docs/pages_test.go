package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxNotRun is how many blocks of commands may say that they cannot run here.
const maxNotRun = 24

// notCommands are the languages of blocks that are something else.
var notCommands = []string{"text", "toml", "json", "ini", "mermaid", "python", "promql", "xml", "yaml"}

// TestPages does what each page says, from top to bottom, in a home that is
// empty at first. README.md is for TestNewcomer.
func TestPages(t *testing.T) {
	if testing.Short() {
		t.Skip("starts testbeds")
	}
	t.Parallel()
	for _, p := range pages(t) {
		if p.name == "README.md" || !slices.ContainsFunc(p.blocks, block.runs) {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			s := needSite(t)
			t.Parallel()
			v := visit(t, s, strings.TrimSuffix(strings.TrimPrefix(p.name, "docs/"), ".md"), true)
			for _, b := range p.blocks {
				if b.runs() {
					do(t, v, p, b)
				}
			}
		})
	}
}

// runs tells whether the block is commands that can run here.
func (b block) runs() bool { return b.lang == "sh" && b.notRun == "" && len(b.commands()) > 0 }

var commandRE = regexp.MustCompile(`^(\$ )?(testbed|swf-mcp|swf-agent|agent-manager|make|go|git|scripts/\S+|cd|export|curl|docker|sudo|apt(-get)?|systemctl|loginctl|journalctl|supervisorctl|ssh) `)

// TestBlocks: what looks like a command is in a block that runs, or says why
// not.
func TestBlocks(t *testing.T) {
	notRun := 0
	for _, p := range pages(t) {
		for _, c := range p.indented {
			if commandRE.MatchString(c.text) {
				t.Errorf("%s:%d: put commands into a block of the language sh, which is tested: %s", p.name, c.line, c.text)
			}
		}
		for _, b := range p.blocks {
			switch {
			case b.lang == "sh" && b.notRun != "":
				notRun++
				t.Logf("%s:%d is not run: %s", p.name, b.line, b.notRun)
			case b.lang != "sh" && !slices.Contains(notCommands, b.lang):
				t.Errorf("%s:%d: a block of the language %q: commands are sh, and else there are %v", p.name, b.line, b.lang, notCommands)
			case b.lang == "text":
				for _, c := range b.commands() {
					if commandRE.MatchString(c.text) {
						t.Errorf("%s:%d: a command in a block of text: make it sh, or sh not-run=\"why\"", p.name, c.line)
					}
				}
			}
		}
	}
	if notRun > maxNotRun {
		t.Errorf("%d blocks of commands are not run; at most %d may be", notRun, maxNotRun)
	}
}
