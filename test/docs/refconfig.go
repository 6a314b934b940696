package docs

import (
	"bufio"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/workflows"
)

// key is one of testbed.toml, with a value that it takes.
type key struct{ section, name, example, doc string }

// testbedKeys are all that the closed sections take; a test holds them against
// what config accepts.
var testbedKeys = []key{
	{"testbed", "namespace", `"torre2"`, "isolation label: agents ignore the messages of other namespaces. Needed in `testbed.toml`; other files take it from there"},
	{"testbed", "source", `"fast_processing_default.toml"`, "the file that this one was made from; each start writes it, people need not"},
	{"agents.NAME", "enabled", "true", "whether a start starts it; without it, it does not"},
	{"agents.NAME", "program", `"my-agent"`, "its program in `agents.supervisord.conf`; the names below need none"},
	{"agents.NAME", "script", `"agents/mine.py"`, "kept for Python tools that wrote it; never executed"},
	{"workflow", "name", `"stf_datataking"`, "what `testbed run` triggers; `fast_processing` is `stf_datataking` with that config"},
	{"workflow", "config", `"fast_processing_default"`, "the workflow's parameters: a file of `workflows/`, in the folder or built in"},
	{"workflow", "realtime", "true", "true: a simulated second takes a second; false: as fast as possible"},
	{"workflow", "version", `"1.0"`, "of a workflow's own file"},
	{"workflow", "description", `"Data taking"`, "of a workflow's own file"},
	{"workflow", "includes", `["daq_state_machine.toml"]`, "further files whose sections count where this one has none of that name"},
}

// agentNames are those that need no program of their own.
var agentNames = []key{
	{"", "data", "example-data-agent", "registers runs and STFs, announces them"},
	{"", "processing", "example-processing-agent", "processes an STF at a time"},
	{"", "fastmon", "example-fastmon-agent", "samples time frames of each STF"},
	{"", "fast_processing", "fast-processing-agent", "cuts samples into slices, hands them to the workers"},
	{"", "worker", "example-worker", "simulates the workers that process slices"},
	{"", "stf-data", "stf-data-agent", "of the Python testbed"},
	{"", "stf-processing", "stf-processing-agent", "of the Python testbed"},
}

// variables are those that a user may set; a test finds the ones that are
// missing here.
var variables = []struct{ name, doc string }{
	{"SWF_HOME", "the folder that holds `swf-testbed`, which is the testbed folder if no other is given"},
	{"SWF_TESTBED_CONFIG", "the config to use when none is named: a name, or a path if it has a slash. Programs get the path of the file made for their start"},
	{"ACTIVEMQ_HOST", "the broker's host; default localhost"},
	{"ACTIVEMQ_PORT", "its STOMP port; default 61612"},
	{"ACTIVEMQ_USER", "login at the broker"},
	{"ACTIVEMQ_PASSWORD", "its password"},
	{"ACTIVEMQ_USE_SSL", "True: TLS to the broker, verified, never silently plain"},
	{"ACTIVEMQ_SSL_CA_CERTS", "PEM file of the authorities that count; default: the system's"},
	{"ACTIVEMQ_SSL_CERT_FILE", "PEM file of our certificate, where the broker asks for one"},
	{"ACTIVEMQ_SSL_KEY_FILE", "PEM file of its key"},
	{"SWF_MONITOR_URL", "the monitor's REST API"},
	{"SWF_MONITOR_HTTP_URL", "the same for agents; logs go here. Used for both where the one before is not set"},
	{"SWF_API_TOKEN", "the token at the monitor"},
	{"SWF_MONITOR_DATABASE", "URL of the PostgreSQL database of `testbed monitor`; default: SQLite in the state folder"},
	{"SWF_CONTROL_QUEUE", "template of the control queues that the MCP server sends to, with `{username}`; wins over `control_queue` of server.toml"},
	{"SWF_SUPERVISORD", "the supervisord to use; default: `.venv/bin` of the folder, PATH, then where set-up puts it"},
	{"SWF_LOG_FORMAT", "text or json: how the daemons log"},
}

const configHead = `# Configuration

Made from the code by "make docs"; do not edit. ` + "`testbed config validate`" + ` checks your files, ` + "`testbed config show --resolved`" + ` tells what a run would use.

An unknown key, a wrong type or a missing file is an error that names the place and the nearest valid name.

## Names

A configuration is asked for by name: NAME, NAME.toml or NAME_default.toml, the first that exists, first in ` + "`workflows/`" + ` of the testbed folder, then among the built-in ones. Without a name it is that of ` + "`SWF_TESTBED_CONFIG`" + `, else testbed.toml.

## testbed.toml
`

// configReference is docs/config.md.
func configReference() (string, error) {
	var b strings.Builder
	b.WriteString(configHead)
	section := ""
	for _, k := range testbedKeys {
		if k.section != section {
			section = k.section
			fmt.Fprintf(&b, "\n### [%s]\n\n| key | example | means |\n|---|---|---|\n", section)
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", k.name, k.example, k.doc)
	}
	b.WriteString("\nNames of agents, and their programs:\n\n| NAME | program | does |\n|---|---|---|\n")
	for _, k := range agentNames {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", k.name, k.example, k.doc)
	}
	b.WriteString("\n### [parameters]\n\nOverrides, for every run, of parameters that the workflow's files have. Any other section overrides the section of that name in them. " +
		"`[machine]` is for [workflows of one's own](workflows.md#the-steps).\n\nThe built-in ones; times are simulated seconds:\n")
	if err := parameters(&b); err != nil {
		return "", err
	}
	files, err := settingsFiles()
	return b.String() + "\n" + environment() + files, err
}

var (
	sectionRE = regexp.MustCompile(`^\[([^\[\]]+)\]`)
	valueRE   = regexp.MustCompile(`^([a-z_]+) *= *([^#]*?) *(?:# *(.*))?$`)
)

// parameters lists those of the built-in workflow files, with their comments.
func parameters(b *strings.Builder) error {
	names, err := fs.Glob(workflows.Files, "*.toml")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := fs.ReadFile(workflows.Files, name)
		if err != nil {
			return err
		}
		rows, section := "", ""
		for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
			line := lines.Text()
			if strings.HasPrefix(line, "[") {
				section = ""
			}
			if m := sectionRE.FindStringSubmatch(line); m != nil {
				section = m[1]
			}
			m := valueRE.FindStringSubmatch(line)
			switch {
			case m == nil, section == "", section == "workflow", section == "testbed", section == "machine",
				strings.HasPrefix(section, "agents."), strings.HasPrefix(section, "machine."):
			default:
				rows += fmt.Sprintf("| `%s` | `%s` | %s | %s |\n", m[1], strings.TrimSpace(m[2]), section, escaped(m[3]))
			}
		}
		if rows != "" {
			fmt.Fprintf(b, "\n**%s**\n\n| parameter | value | section | |\n|---|---|---|---|\n%s", name, rows)
		}
	}
	return nil
}

func environment() string {
	var b strings.Builder
	b.WriteString("## Environment\n\nThe folder's `.env`, then the home's, are read at each start. They never override what is set; for the agent manager alone, whose own environment is as old as it is, they do. " +
		"While `testbed up` runs, programs in its folder find broker and monitor by `run/endpoints.json`, which wins over all else.\n\n| variable | for |\n|---|---|\n")
	for _, v := range variables {
		fmt.Fprintf(&b, "| `%s` | %s |\n", v.name, v.doc)
	}
	b.WriteString("\n`OTEL_…`, for traces: [operations.md](operations.md#traces). Folders follow `XDG_CONFIG_HOME` and `XDG_STATE_HOME`: [architecture.md](architecture.md#where-things-are).\n\n")
	return b.String()
}

const filesHead = `## Settings of the daemons

In ` + "`$XDG_CONFIG_HOME/swf-testbed`, by default `~/.config/swf-testbed`" + `; for ` + "`testbed up` in `run/config`" + ` of its folder. A missing file means the defaults.
`

// settingsFiles is the part on manager.toml and server.toml.
func settingsFiles() (string, error) {
	var b strings.Builder
	b.WriteString(filesHead)
	for _, f := range []struct {
		file, source, name string
		defaults           any
		of                 string
	}{
		{"manager.toml", "manager.go", "ManagerSettings", config.DefaultManagerSettings(), "the agent manager"},
		{"server.toml", "server.go", "ServerSettings", config.DefaultServerSettings(), "the MCP server"},
	} {
		list, err := settings(f.source, f.name, reflect.ValueOf(f.defaults))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "\n### %s\n\nOf %s.\n\n| key | default | |\n|---|---|---|\n", f.file, f.of)
		b.WriteString(settingRows(list, ""))
	}
	return b.String(), nil
}

func settingRows(list []setting, prefix string) string {
	var b strings.Builder
	for _, s := range list {
		if s.fields != nil {
			fmt.Fprintf(&b, "| `[%s]` | | %s |\n", s.key, s.doc)
			b.WriteString(settingRows(s.fields, s.key+"."))
			continue
		}
		fmt.Fprintf(&b, "| `%s%s` | %s | %s |\n", prefix, s.key, shown(s.value), s.doc)
	}
	return b.String()
}

var (
	leadRE   = regexp.MustCompile(`^[A-Z]\w+ (is|are|holds|names|takes|lets|stands|also takes|says) `)
	designRE = regexp.MustCompile(` \(design [^)]*\)`)
)

// sentence makes of a field's comment what a user reads: without the field's
// Go name, and in one line.
func sentence(doc string) string {
	doc = designRE.ReplaceAllString(strings.Join(strings.Fields(doc), " "), "")
	if m := leadRE.FindStringSubmatch(doc); m != nil {
		doc = strings.TrimPrefix(doc, m[0])
		if m[1] != "is" && m[1] != "are" {
			doc = m[1] + " " + doc
		}
	}
	return escaped(strings.TrimSuffix(doc, "."))
}

// shown is a default as the file would have it.
func shown(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case time.Duration:
		return fmt.Sprintf("`%q`", value)
	case string:
		if value == "" {
			return "none"
		}
		return fmt.Sprintf("`%q`", value)
	}
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		return "none"
	}
	return fmt.Sprintf("`%v`", v.Interface())
}
