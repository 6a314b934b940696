package docs

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/epic-swf/testbed/tools"
)

// schema is as much of JSON Schema as the tools use.
type schema struct {
	Type        string            `json:"type"`
	Description string            `json:"description"`
	Properties  map[string]schema `json:"properties"`
	Required    []string          `json:"required"`
	Items       *schema           `json:"items"`
	AnyOf       []schema          `json:"anyOf"`
	Enum        []string          `json:"enum"`
	Pattern     string            `json:"pattern"`
	Minimum     *float64          `json:"minimum"`
	Maximum     *float64          `json:"maximum"`
	MaxLength   *int              `json:"maxLength"`
}

// orderOf are an object's keys as the text has them: a map has no order.
func orderOf(text json.RawMessage) ([]string, error) {
	var s struct {
		Properties json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	d := json.NewDecoder(strings.NewReader(string(s.Properties)))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var keys []string
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			return nil, err
		}
		keys = append(keys, fmt.Sprint(key))
	}
	return keys, nil
}

const toolsHead = `# The tools

Made from the tools' own schemas by "make docs"; do not edit. What the words of an answer mean: [assistant.md](assistant.md#what-its-answers-mean).

A name that is not among the arguments is an error that lists the valid ones. Those marked * must be given. In answers, those marked * are always there; what is not known is null.
`

const toolsFoot = `
## Errors

` + "`error`" + ` has a ` + "`code`" + `, a ` + "`message`" + ` and a ` + "`hint`" + `: what to call or do next. The set of codes is closed:

| about | codes |
|---|---|
`

// toolsReference is docs/tools.md.
func toolsReference() (string, error) {
	var b strings.Builder
	b.WriteString(toolsHead)
	effects := map[tools.Effect]string{tools.Looks: "changes nothing", tools.Begins: "begins something, never twice", tools.Ends: "ends what runs"}
	set := ""
	for _, tool := range tools.New(tools.Options{}).Tools() {
		if tool.Toolset != set {
			set = tool.Toolset
			fmt.Fprintf(&b, "\n## Toolset %s\n", set)
		}
		fmt.Fprintf(&b, "\n### %s\n\n*%s: %s.* %s\n", tool.Name, tool.Title, effects[tool.Effect], escaped(tool.Description))
		for _, part := range []struct {
			head string
			text json.RawMessage
		}{{"| argument | is | |\n|---|---|---|\n", tool.Input}, {"| in the answer | is | |\n|---|---|---|\n", tool.Output}} {
			rows, err := properties(part.text)
			if err != nil {
				return "", fmt.Errorf("%s: %w", tool.Name, err)
			}
			if rows == "" {
				rows = "| none | | |\n"
			}
			b.WriteString("\n" + part.head + rows)
		}
	}
	codes, err := errorCodes()
	return b.String() + toolsFoot + codes, err
}

func properties(text json.RawMessage) (string, error) {
	var s schema
	if err := json.Unmarshal(text, &s); err != nil {
		return "", err
	}
	keys, err := orderOf(text)
	if err != nil {
		return "", err
	}
	required := map[string]bool{}
	for _, key := range s.Required {
		required[key] = true
	}
	var b strings.Builder
	for _, key := range keys {
		star := ""
		if required[key] {
			star = " *"
		}
		p := s.Properties[key]
		fmt.Fprintf(&b, "| `%s`%s | %s | %s |\n", key, star, p.kind(), escaped(p.doc()))
	}
	return b.String(), nil
}

// kind says in words what a value is.
func (s schema) kind() string {
	switch {
	case len(s.AnyOf) > 0:
		var all []string
		for _, one := range s.AnyOf {
			all = append(all, one.kind())
		}
		return strings.Join(all, " or ")
	case len(s.Enum) > 0:
		return "`" + strings.Join(s.Enum, "` `") + "`"
	case s.Type == "array":
		return "list of " + s.Items.kind()
	case s.Type == "object" && len(s.Properties) > 0:
		var keys []string
		for key := range s.Properties {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		return "object: `" + strings.Join(keys, "` `") + "`"
	case s.Minimum != nil && s.Maximum != nil:
		return fmt.Sprintf("%s, %v to %v", s.Type, *s.Minimum, *s.Maximum)
	case s.Pattern != "":
		return "`" + escaped(s.Pattern) + "`"
	case s.MaxLength != nil:
		return fmt.Sprintf("%s of at most %d", s.Type, *s.MaxLength)
	}
	return s.Type
}

func (s schema) doc() string {
	if s.Description != "" {
		return s.Description
	}
	for _, one := range s.AnyOf {
		if d := one.doc(); d != "" {
			return d
		}
	}
	return ""
}

// escaped fits a text into a cell of a table.
func escaped(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", `\|`) }
