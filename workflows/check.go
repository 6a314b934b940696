package workflows

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
)

// form is that of a name. Its length is not counted by the expression, which
// would take 100 kB for that, in every program.
type form struct {
	re   *regexp.Regexp
	most int
}

var (
	stateForm     = form{regexp.MustCompile(`^[a-z][a-z0-9_]*$`), 20} // the monitor keeps 20 characters
	msgTypeForm   = form{regexp.MustCompile(`^[a-z][a-z0-9_]*$`), 50}
	parameterForm = form{regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`), 128}
	envForm       = form{regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`), 128}
)

func (f form) match(s string) bool { return len(s) <= f.most && f.re.MatchString(s) }

// ownFields are the fields of a broadcast that the runner fills in.
var ownFields = []string{
	"msg_type", "namespace", "sender", "execution_id", "run_id", "timestamp", "simulation_tick", "state", "substate",
	"filename", "sequence", "total_stf_files",
}

// check refuses a machine that could not be played, or not as it reads.
func (m *machine) check(file *config.Machine) error {
	for _, phase := range m.phases() {
		for i, s := range phase.steps {
			if what, hint := m.checkStep(phase.name, s); what != "" {
				return file.Fail(fmt.Sprintf("[[machine.%s]] number %d: %s", phase.name, i+1, what), hint, phase.name)
			}
		}
	}
	for _, name := range m.parameters() {
		if !parameterForm.match(name) {
			return file.Fail(fmt.Sprintf("[machine] %q is no name of a parameter", name), "name a parameter of the workflow")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Texts)) {
		if what := m.checkText(name, m.Texts[name]); what != "" {
			return file.Fail(fmt.Sprintf("[machine.texts] %s %s", name, what), `write it as NAME = { parameter = "…", env = "…", default = "…" }`, "texts", name)
		}
	}
	switch {
	case len(m.Opening)+len(m.Begin)+len(m.Each)+len(m.Closing) == 0:
		return file.Fail("[machine] has no steps", "add [[machine.opening]] and the others: see daq_state_machine.toml")
	case len(m.Each) > 0 && m.Count == "" && m.Length == "":
		return file.Fail("[machine] makes STFs and does not say how many", `add count or length, the name of a parameter`)
	case (m.Periods != "" || len(m.Each) > 0) && !slices.ContainsFunc(m.Each, func(s step) bool { return s.Send != "" }):
		return file.Fail("[machine] has periods in which nothing is sent: they would take no time and have no end",
			"add [[machine.each]] with send, or leave periods and each out")
	}
	return nil
}

// checkStep returns what is wrong with a step, and what to do.
func (m *machine) checkStep(phase string, s step) (what, hint string) {
	switch {
	case !stateForm.match(s.State) || !stateForm.match(s.Substate):
		return fmt.Sprintf("state %q, substate %q", s.State, s.Substate), "each is a name of at most 20 small letters, digits and _"
	case s.Send != "" && !msgTypeForm.match(s.Send):
		return fmt.Sprintf("send = %q is no type of a message", s.Send), "a type is made of small letters, digits and _"
	case s.Send == swf.MsgSTFGen && phase != "each":
		return "stf_gen is sent outside of [[machine.each]]", "an STF is one round of [[machine.each]]"
	case s.Send == "" && (len(s.Fields) > 0 || s.Bare || s.Write != ""):
		return "fields, bare and write are of a broadcast, and there is none", `add send = "…" or take them out`
	}
	for _, key := range slices.Sorted(maps.Keys(s.Fields)) {
		if slices.Contains(ownFields, key) || !msgTypeForm.match(key) {
			return fmt.Sprintf("fields cannot set %s", key), "the runner fills in " + strings.Join(ownFields, ", ")
		}
		if bad := m.unknownNames(s.Fields[key]); bad != "" {
			return fmt.Sprintf("fields.%s has {%s}, which stands for nothing", key, bad), m.knownNames()
		}
	}
	for key, text := range map[string]string{"make": s.Make, "write": s.Write} {
		if bad := m.unknownNames(text); bad != "" {
			return fmt.Sprintf("%s has {%s}, which stands for nothing", key, bad), m.knownNames()
		}
	}
	return "", ""
}

func (m *machine) checkText(name string, t text) string {
	switch {
	case !stateForm.match(name) || slices.Contains(builtinNames, name):
		return "is no name that is free"
	case t.Parameter != "" && !parameterForm.match(t.Parameter):
		return "names no parameter"
	case t.Env != "" && !envForm.match(t.Env):
		return "names no variable of the environment"
	case t.Parameter == "" && t.Env == "" && t.Default == "":
		return "is empty"
	}
	for _, used := range placeholders(t.Default) {
		if !slices.Contains(builtinNames, used) {
			return fmt.Sprintf("has {%s}: a text may hold only %s", used, strings.Join(braced(builtinNames), " and "))
		}
	}
	return ""
}

func (m *machine) unknownNames(text string) string {
	for _, name := range placeholders(text) {
		if _, ok := m.Texts[name]; !ok && !slices.Contains(builtinNames, name) {
			return name
		}
	}
	return ""
}

func (m *machine) knownNames() string {
	return "there are " + strings.Join(braced(append(slices.Clone(builtinNames), slices.Sorted(maps.Keys(m.Texts))...)), ", ")
}

func braced(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = "{" + name + "}"
	}
	return out
}
