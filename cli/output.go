package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// The forms in which an answer is printed. A table is what people read: text
// in columns where there are rows.
const (
	asTable = "table"
	asJSON  = "json"
	asYAML  = "yaml"
)

// outputFlag adds --output to a command that shows something.
func (a *app) outputFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&a.output, "output", "o", asTable, "table, json or yaml")
	complete(cmd, "output", asTable, asJSON, asYAML)
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.output == "text" { // what table was called at first
			a.output = asTable
		}
		if a.output != asTable && a.output != asJSON && a.output != asYAML {
			return usageError{swf.E(swf.CodeInvalidArgument, "--output is table, json or yaml", "leave it out, or say --output json")}
		}
		return run(cmd, args)
	}
	return cmd
}

// forPeople reports whether the answer is text: only then may anything else be
// printed beside it.
func (a *app) forPeople() bool { return a.output != asJSON && a.output != asYAML }

// show prints a value as JSON or YAML, or its text.
func (a *app) show(v any, text string) error {
	var b []byte
	var err error
	switch a.output {
	case asJSON:
		b, err = inJSON(v)
	case asYAML:
		b, err = inYAML(v)
	default:
		b = []byte(a.ink(a.out).lay(swf.Printable(text)))
	}
	if err != nil {
		return err
	}
	_, err = a.out.Write(b)
	return err
}

func inJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

// inYAML goes by way of JSON, so that both have the same names, order and
// omissions.
func inYAML(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return nil, err
	}
	block(&node)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return nil, err
	}
	return b.Bytes(), enc.Close()
}

// block takes the style of JSON off a document; quotes come back where a text
// would mean something else without, for readers of YAML 1.1 too.
func block(n *yaml.Node) {
	n.Style = 0
	if n.Tag == "!!str" && oldBool.MatchString(n.Value) {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, c := range n.Content {
		block(c)
	}
}

// oldBool is what YAML 1.1 takes for true or false.
var oldBool = regexp.MustCompile(`^(?i:y|n|yes|no|on|off)$`)

// showReply prints what a command came to, and returns its error.
func (a *app) showReply(r control.Reply, headline string) error {
	text := ""
	if r.Outcome == control.Succeeded {
		text = headline + "\n"
	}
	if err := a.show(r, text+programLines(r.Programs)); err != nil {
		return err
	}
	return outcome(r)
}

// table lays rows out in columns, below their headings. Cells must not hold
// tabs or new lines.
func table(head string, rows [][]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(head, " ", "\t"))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = plain(cell)
			if row[i] == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func indent(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }

// compact is a value as one line of JSON.
func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", swf.E(swf.CodeEnvironment, fmt.Sprintf("the program %s is neither beside this one nor on PATH", name), "make build puts them all into bin/").Because(err)
	}
	return path, nil
}

var _ io.Writer = (*screen)(nil)
