package mcpserver

import (
	"fmt"
	"slices"
	"strings"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// offer is what a server shows of what there is. What it leaves out is not
// registered with the protocol library at all: no transport, session or
// protocol version can reach it.
type offer struct {
	all       []tools.Tool
	tools     []tools.Tool
	resources []tools.Resource
	prompts   []tools.Prompt
	o         Options
}

// newOffer fails for a toolset that does not exist.
func newOffer(o Options) (*offer, error) {
	known := tools.Toolsets()
	for _, name := range o.Toolsets {
		if !slices.Contains(known, name) {
			return nil, swf.E(swf.CodeInvalidArgument, fmt.Sprintf("there is no toolset %q", short(name)), "the toolsets are "+strings.Join(known, ", "))
		}
	}
	f := &offer{all: o.Tools, o: o}
	for _, t := range o.Tools {
		if f.has(t.Toolset) && (t.Effect == tools.Looks || !o.ReadOnly) {
			f.tools = append(f.tools, t)
		}
	}
	for _, r := range o.Resources {
		if f.has(r.Toolset) {
			f.resources = append(f.resources, r)
		}
	}
	for _, p := range o.Prompts {
		if !slices.ContainsFunc(p.Needs, func(name string) bool { return !f.hasTool(name) }) {
			f.prompts = append(f.prompts, p)
		}
	}
	return f, nil
}

// has reports whether the toolset is offered; "" belongs to none.
func (f *offer) has(toolset string) bool {
	return toolset == "" || len(f.o.Toolsets) == 0 || slices.Contains(f.o.Toolsets, toolset)
}

func (f *offer) hasTool(name string) bool {
	return slices.ContainsFunc(f.tools, func(t tools.Tool) bool { return t.Name == name })
}

// tool is the tool that clients call so, nil where there is none.
func (f *offer) tool(name string) *tools.Tool {
	name, ok := strings.CutPrefix(name, f.o.ToolPrefix)
	if i := slices.IndexFunc(f.tools, func(t tools.Tool) bool { return t.Name == name }); ok && i >= 0 {
		return &f.tools[i]
	}
	return nil
}

// changes reports whether the tool that clients call so changes anything.
func (f *offer) changes(name string) bool {
	t := f.tool(name)
	return t != nil && t.Effect != tools.Looks
}

// words makes a text fit the offer: pieces (lines or sentences, by their
// separator) that speak of a tool that is not there are left out, and the
// others' names get the prefix.
func (f *offer) words(text, separator string) string {
	pieces := strings.Split(text, separator)
	pieces = slices.DeleteFunc(pieces, func(piece string) bool {
		return slices.ContainsFunc(f.all, func(t tools.Tool) bool { return strings.Contains(piece, t.Name) && !f.hasTool(t.Name) })
	})
	text = strings.Join(pieces, separator)
	for _, t := range f.tools {
		text = strings.ReplaceAll(text, t.Name, f.o.ToolPrefix+t.Name)
	}
	return text
}

const readOnlyNote = "This server only looks (--read-only): nothing can be started or stopped through it. Tell the person to do that with the testbed command, or with a server that may.\n\n"

// instructions are what a client is told of the whole.
func (f *offer) instructions() string {
	lines := strings.Split(f.words(instructions, "\n"), "\n")
	kept := lines[:0]
	for i, line := range lines {
		if isHeading(line) && (i+1 == len(lines) || !strings.HasPrefix(lines[i+1], "- ")) {
			continue // nothing is left under it
		}
		kept = append(kept, line)
	}
	text := strings.Join(kept, "\n")
	if f.o.ReadOnly {
		text = readOnlyNote + text
	}
	return text
}

// isHeading tells headings, which stand over items, from paragraphs.
func isHeading(line string) bool {
	return line != "" && !strings.HasPrefix(line, "- ") && !strings.ContainsAny(line, ".:")
}

// description is what a client is told of one tool.
func (f *offer) description(t tools.Tool) string {
	text := f.words(t.Description, ". ")
	if !strings.HasSuffix(text, ".") && strings.HasSuffix(t.Description, ".") {
		text += "."
	}
	return text
}
