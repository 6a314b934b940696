package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look at configurations", Args: cobra.ArbitraryArgs, RunE: helpOrUnknown}
	cmd.AddCommand(a.outputFlag(&cobra.Command{
		Use:   "validate [NAME]",
		Short: "Check configurations and workflows before they run",
		Long: `Validate checks a configuration as a start and a run would, and tells what its workflow does: messages, STFs, simulated
time, samples and slices. NAME is NAME, NAME.toml or NAME_default.toml in workflows/ or built in; without it all of them.`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return a.validate(cmd.Context(), args) },

		ValidArgsFunction: completion(1, a.configNames),
	}), a.configShowCommand(), a.configListCommand())
	return cmd
}

// verdict is what is to be said of one configuration.
type verdict struct {
	Config  string             `json:"config"`
	Kind    string             `json:"kind"` // testbed or workflow
	Agents  []string           `json:"agents,omitempty"`
	Outline *workflows.Outline `json:"outline,omitempty"`
	Error   *swf.Error         `json:"error,omitempty"`
}

// String tells what a good configuration does.
func (v verdict) String() string {
	text := fmt.Sprintf("ok   %s: %s\n", v.Config, v.Outline)
	if len(v.Agents) > 0 {
		text += fmt.Sprintf("     programs: %s\n", strings.Join(v.Agents, ", "))
	}
	return text
}

func (a *app) validate(ctx context.Context, names []string) error {
	s, err := a.configSources()
	if err != nil {
		return err
	}
	if len(names) == 1 && a.forPeople() {
		v := a.judge(ctx, s, names[0])
		if v.Error != nil {
			return v.Error
		}
		return a.show(v, v.String())
	}
	if len(names) == 0 {
		names = config.ListConfigs(s)
	}
	var all []verdict
	var bad []string
	var text strings.Builder
	for _, name := range names {
		v := a.judge(ctx, s, name)
		all = append(all, v)
		if v.Error != nil {
			bad = append(bad, name)
			fmt.Fprintf(&text, "bad  %s: %s\n     hint: %s\n", name, v.Error.Message, v.Error.Hint)
			continue
		}
		text.WriteString(v.String())
	}
	if err := a.show(all, text.String()); err != nil {
		return err
	}
	if len(bad) > 0 {
		return swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%d of %d configurations cannot be used: %s", len(bad), len(names), strings.Join(bad, ", ")),
			"each line above says what to correct")
	}
	return nil
}

// configSources are those of the testbed folder; outside of any folder the
// built-in files can be looked at too.
func (a *app) configSources() (config.Sources, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return config.Sources{}, err
	}
	s := config.Sources{Embedded: workflows.Files, Getenv: a.getenv}
	dir, err := config.Folder(a.dir, cwd, a.getenv)
	if err != nil && a.dir != "" {
		return s, err
	}
	if err == nil {
		s.Dir = dir
	}
	return s, nil
}

// judge checks one configuration. The file of a workflow needs no namespace.
func (a *app) judge(ctx context.Context, s config.Sources, name string) verdict {
	v := verdict{Config: name, Kind: "testbed"}
	workflow, definition, err := config.Definition(s, name)
	var t *config.Testbed
	switch {
	case err != nil:
	case definition:
		v.Kind = "workflow"
		t = &config.Testbed{Name: name, Shown: name, Workflow: config.Workflow{Name: workflow, Config: name}}
	case s.Dir == "":
		t = &config.Testbed{Name: name, Shown: name, Workflow: config.Workflow{Name: "stf_datataking", Config: "fast_processing_default"}}
	default:
		if t, err = config.Load(s, name); err == nil {
			v.Agents = t.EnabledPrograms()
		}
	}
	var o workflows.Outline
	if err == nil {
		o, err = workflows.Validate(ctx, s, t, config.RunRequest{}, a.getenv)
	}
	if err != nil {
		v.Error = swf.AsError(err)
		return v
	}
	v.Outline = &o
	return v
}
