package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// show prints a value as JSON, or its text.
func (a *app) show(v any, text string) error {
	if a.output != "json" {
		_, err := io.WriteString(a.out, swf.Printable(text))
		return err
	}
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

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
