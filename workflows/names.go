package workflows

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// text is a name in a machine's texts: the value of a parameter, else of a
// variable of the environment, else the default. As a path it may begin with
// $NAME or ~ and must come out absolute.
type text struct {
	Parameter string `toml:"parameter"`
	Env       string `toml:"env"`
	Default   string `toml:"default"`
	Path      bool   `toml:"path"`
}

// builtinNames stand for something in every machine: the run number, and in
// [[machine.each]] the STF's file name.
var builtinNames = []string{"run", "file"}

var placeholderRE = regexp.MustCompile(`\{([a-z][a-z0-9_]*)\}`)

// placeholders lists the {names} in a text.
func placeholders(text string) []string {
	var names []string
	for _, m := range placeholderRE.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// fill puts what {names} stand for in their place.
func fill(text string, value func(name string) string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	return placeholderRE.ReplaceAllStringFunc(text, func(s string) string { return value(s[1 : len(s)-1]) })
}

// texts resolves the machine's texts.
func (m *machine) texts(parameters map[string]any, getenv func(string) string) (map[string]string, error) {
	out := make(map[string]string, len(m.Texts)+2)
	for name, t := range m.Texts {
		v, from := t.Default, "default"
		if env := getenv(t.Env); t.Env != "" && env != "" {
			v, from = env, t.Env
		}
		switch p := parameters[t.Parameter].(type) {
		case nil:
		case string:
			if p != "" {
				v, from = p, t.Parameter
			}
		default:
			return nil, swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%s = %v is no text", t.Parameter, p), "write it in quotes")
		}
		if t.Path {
			home := getenv("HOME")
			v = os.Expand(v, getenv)
			if v == "~" || len(v) > 1 && v[:2] == "~/" {
				v = home + v[1:]
			}
			if !filepath.IsAbs(v) {
				return nil, swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%s (%s) is no absolute path: %q", name, from, v), "write the whole path")
			}
			v = filepath.Clean(v)
		}
		out[name] = v
	}
	return out, nil
}
