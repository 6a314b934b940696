package docs

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// page is a Markdown file, as far as the tests look at it.
type page struct {
	name     string // relative to the repository: docs/tools.md
	blocks   []block
	links    []link
	spans    []span // `code` within sentences
	anchors  map[string]bool
	indented []span // lines of code without a fence
}

// block is fenced code. Commands have the language sh, and may say more behind
// it, which readers do not see:
//
//	sh                       run in order, in one shell
//	sh terminal="up in"      run in a terminal of its own that stays open; go on when it has printed this
//	sh exit=3                the last command ends with that code
//	sh not-run="why"         cannot run in a test; the commands must still be spelled right
//
// A comment <!-- sh … --> is a block that readers need not see.
type block struct {
	line     int
	lang     string
	text     string
	terminal string
	exit     string
	notRun   string
}

type link struct {
	line   int
	target string
}

type span struct {
	line int
	text string
}

var (
	fenceRE   = regexp.MustCompile("^ *```+ *([a-z]*)(.*)$")
	hiddenRE  = regexp.MustCompile(`^<!-- (sh)\b(.*)$`)
	optionRE  = regexp.MustCompile(`([a-z-]+)=(?:"([^"]*)"|(\S+))`)
	headingRE = regexp.MustCompile(`^#+ +(.*?) *#*$`)
	linkRE    = regexp.MustCompile(`\]\(([^)\s]+)(?: "[^"]*")?\)`)
	spanRE    = regexp.MustCompile("`([^`]+)`")
)

// parse reads a page. What it does not understand of a block's options is an
// error, so that no block is skipped by a slip.
func parse(name, text string) (*page, error) {
	p := &page{name: name, anchors: map[string]bool{}}
	var open *block
	closing, blank := "", true
	for i, line := range strings.Split(text, "\n") {
		n := i + 1
		switch {
		case open != nil && strings.TrimSpace(line) == closing:
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case fenceRE.MatchString(line) || hiddenRE.MatchString(line):
			m, end := fenceRE.FindStringSubmatch(line), "```"
			if m == nil {
				m, end = hiddenRE.FindStringSubmatch(line), "-->"
			}
			b, err := newBlock(n, m[1], m[2])
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, n, err)
			}
			open, closing = b, end
		case strings.HasPrefix(line, "    ") && blank:
			p.indented = append(p.indented, span{n, strings.TrimSpace(line)})
			continue // the next line of it is code too
		default:
			p.sentence(n, line)
		}
		blank = strings.TrimSpace(line) == ""
	}
	if open != nil {
		return nil, fmt.Errorf("%s:%d: the block is never closed", name, open.line)
	}
	return p, nil
}

func newBlock(line int, lang, rest string) (*block, error) {
	b := &block{line: line, lang: lang}
	if lang == "" {
		return nil, fmt.Errorf("the block has no language: sh for commands, text for what is none")
	}
	for _, m := range optionRE.FindAllStringSubmatch(rest, -1) {
		value := m[2] + m[3]
		switch m[1] {
		case "terminal":
			b.terminal = value
		case "exit":
			b.exit = value
		case "not-run":
			b.notRun = value
		default:
			return nil, fmt.Errorf("the block has no option %q: there are terminal, exit and not-run", m[1])
		}
	}
	if left := strings.TrimSpace(optionRE.ReplaceAllString(rest, "")); left != "" {
		return nil, fmt.Errorf("what is %q behind the block's language?", left)
	}
	return b, nil
}

// sentence takes links, anchors and code spans out of a line of prose.
func (p *page) sentence(n int, line string) {
	for _, m := range spanRE.FindAllStringSubmatch(line, -1) {
		p.spans = append(p.spans, span{n, m[1]})
	}
	for _, m := range linkRE.FindAllStringSubmatch(line, -1) {
		p.links = append(p.links, link{n, m[1]})
	}
	if m := headingRE.FindStringSubmatch(line); m != nil {
		slug := anchor(m[1])
		for base, i := slug, 1; p.anchors[slug]; i++ {
			slug = fmt.Sprintf("%s-%d", base, i)
		}
		p.anchors[slug] = true
	}
}

// anchor is the address that GitHub gives a heading.
func anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			b.WriteRune(r)
		case r == ' ':
			b.WriteByte('-')
		}
	}
	return b.String()
}

// commands are the lines of a block without its comments, lines that end in a
// backslash joined.
func (b block) commands() []span {
	var list []span
	text, start := "", 0
	for i, line := range strings.Split(b.text, "\n") {
		if text == "" {
			start = b.line + 1 + i
		}
		if more, ok := strings.CutSuffix(line, "\\"); ok {
			text += more + " "
			continue
		}
		if text = strings.TrimSpace(text + line); text != "" && !strings.HasPrefix(text, "#") {
			list = append(list, span{start, text})
		}
		text = ""
	}
	return list
}
