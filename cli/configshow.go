package cli

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows"
)

func (a *app) configListCommand() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:   "list",
		Short: "List the configurations there are, and where each stands",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(*cobra.Command, []string) error { return a.configList() },
	})
}

// listed is one configuration in the list.
type listed struct {
	Config string `json:"config"`
	Kind   string `json:"kind"`  // testbed, or the workflow that the file defines
	Where  string `json:"where"` // the file, or built in
}

func (a *app) configList() error {
	s, err := a.configSources()
	if err != nil {
		return err
	}
	list := []listed{}
	var rows [][]string
	for _, name := range config.ListConfigs(s) {
		l := listed{Config: name, Kind: "testbed", Where: "built in"}
		switch workflow, is, err := config.Definition(s, name); {
		case err != nil:
			l.Kind = "cannot be read"
		case is:
			l.Kind = "workflow " + workflow
		}
		if path := filepath.Join(s.Dir, "workflows", name); s.Dir != "" {
			if _, err := os.Stat(path); err == nil {
				l.Where = path
			}
		}
		list = append(list, l)
		rows = append(rows, []string{l.Config, l.Kind, l.Where})
	}
	return a.show(list, listText("CONFIG KIND WHERE", rows, "no configurations", ""))
}

func (a *app) configShowCommand() *cobra.Command {
	resolved := false
	cmd := a.outputFlag(&cobra.Command{
		Use:   "show [NAME]",
		Short: "Show a configuration: the file, or what a run would make of it",
		Long: `Show prints the file of a configuration. With --resolved it prints what a start and a run of it would use: the
namespace and where it is from, the agents and their programs, and every parameter after includes and overrides.
NAME is NAME, NAME.toml or NAME_default.toml (default: SWF_TESTBED_CONFIG, else testbed.toml).`,
		Example: `  testbed config show fast_processing --resolved`,
		Args:    usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return a.configShow(name, resolved)
		},
		ValidArgsFunction: completion(1, a.configNames),
	})
	cmd.Flags().BoolVar(&resolved, "resolved", false, "what a run would use, with everything that is left open filled in")
	return cmd
}

// resolvedConfig is a configuration with nothing left open.
type resolvedConfig struct {
	Config        string          `json:"config" toml:"config"`
	Namespace     string          `json:"namespace" toml:"namespace"`
	NamespaceFrom string          `json:"namespace_from" toml:"namespace_from"`
	Workflow      string          `json:"workflow" toml:"workflow"`
	WorkflowFile  string          `json:"workflow_file" toml:"workflow_file"`
	Realtime      bool            `json:"realtime" toml:"realtime"`
	Duration      float64         `json:"duration" toml:"duration"`
	Agents        []resolvedAgent `json:"agents" toml:"agents"`
	Values        map[string]any  `json:"parameters" toml:"parameters"`
}

type resolvedAgent struct {
	Name    string `json:"name" toml:"name"`
	Program string `json:"program" toml:"program"`
	Enabled bool   `json:"enabled" toml:"enabled"`
}

func (a *app) configShow(name string, resolved bool) error {
	s, err := a.configSources()
	if err != nil {
		return err
	}
	if !resolved {
		return a.showFile(s, name)
	}
	t, err := config.Load(s, name)
	if err != nil {
		return err
	}
	run, err := config.ResolveRun(s, t, config.RunRequest{})
	if err != nil {
		return err
	}
	r := resolvedConfig{Config: t.Shown, Namespace: t.Namespace, NamespaceFrom: t.NamespaceFrom, Workflow: run.Workflow, WorkflowFile: run.ConfigName,
		Realtime: run.Realtime, Duration: run.Duration, Values: run.Values, Agents: []resolvedAgent{}}
	for _, g := range t.Agents {
		r.Agents = append(r.Agents, resolvedAgent{g.Name, g.Program, g.Enabled})
	}
	var b bytes.Buffer
	enc := toml.NewEncoder(&b)
	enc.Indent = ""
	if err := enc.Encode(r); err != nil {
		return err
	}
	return a.show(r, b.String())
}

// showFile prints the file itself: with Load it is known which one that is.
func (a *app) showFile(s config.Sources, name string) error {
	t, err := config.Load(s, name)
	if err != nil {
		return err
	}
	text, err := []byte(nil), error(nil)
	if t.Path != "" {
		text, err = os.ReadFile(t.Path)
	} else {
		text, err = fs.ReadFile(workflows.Files, t.Name)
	}
	if err != nil {
		return swf.E(swf.CodeUnknownConfig, t.Shown+" cannot be read", "testbed config list shows what there is").Because(err)
	}
	return a.show(struct {
		Config string `json:"config"`
		File   string `json:"file"`
		Text   string `json:"text"`
	}{t.Name, t.Shown, string(text)}, fmt.Sprintf("# %s\n%s", t.Shown, strings.TrimRight(string(text), "\n")+"\n"))
}
