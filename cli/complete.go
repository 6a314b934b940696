package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows"
)

// completionPatience bounds how long a Tab may take; what is not known by then
// is not offered.
const completionPatience = 2 * time.Second

// names finds what can be named now. It may find nothing, and never fails: who
// presses Tab wants no error.
type names func(ctx context.Context) []string

// completion makes shell completion of names, for the first n arguments of a
// command.
func completion(n int, find names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completionPatience)
		defer cancel()
		var fit []string
		for _, name := range find(ctx) {
			if strings.HasPrefix(name, prefix) {
				fit = append(fit, name)
			}
		}
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}

// complete offers fixed values for a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	completeLive(cmd, flag, func(context.Context) []string { return values })
}

// completeLive offers names for a flag. It panics for a flag that is not there.
func completeLive(cmd *cobra.Command, flag string, find names) {
	if err := cmd.RegisterFlagCompletionFunc(flag, completion(1<<20, find)); err != nil {
		panic(err)
	}
}

// configNames are the configurations of the folder and the built-in ones.
func (a *app) configNames(context.Context) []string {
	s, err := a.configSources()
	if err != nil {
		return nil
	}
	return config.ListConfigs(s)
}

// workflowNames are the workflows that can be run.
func (a *app) workflowNames(context.Context) []string {
	s, err := a.configSources()
	if err != nil {
		return nil
	}
	return workflows.Names(s)
}

// programNames are those of the supervisord file.
func (a *app) programNames(context.Context) []string {
	p, err := a.find()
	if err != nil {
		return nil
	}
	c, err := p.supervisordConf()
	if err != nil {
		return nil
	}
	return namesOf(c)
}

func namesOf(c *supervisor.Conf) []string {
	var names []string
	for _, q := range c.Programs {
		names = append(names, q.Name)
	}
	slices.Sort(names)
	return names
}

// supervisordConf is what the supervisord file says, as a start would read it.
func (p *place) supervisordConf() (*supervisor.Conf, error) {
	env, err := p.programEnv(map[string]string{"SWF_TESTBED_CONFIG": "testbed.toml"})
	if err != nil {
		return nil, err
	}
	return supervisor.ReadConf(p.paths.SupervisordConf(), env)
}

// executions are ids of this user's executions in the monitor; status "" is
// any.
func (a *app) executions(status string) names {
	return func(ctx context.Context) []string {
		p, err := a.findServer()
		if err != nil {
			return nil
		}
		m, err := p.monitor()
		if err != nil || m == nil {
			return nil
		}
		defer m.Close()
		page, err := m.ExecutionPage(ctx, monitor.Filter{ExecutedBy: p.username, Status: status}, 50, 0)
		if err != nil {
			return nil
		}
		var ids []string
		for _, e := range page.Items {
			ids = append(ids, e.ExecutionID)
		}
		return ids
	}
}

// userNames are the users whose managers the monitor has heard of.
func (a *app) userNames(ctx context.Context) []string {
	p, err := a.findServer()
	if err != nil {
		return nil
	}
	m, err := p.monitor()
	if err != nil || m == nil {
		return nil
	}
	defer m.Close()
	agents, err := m.Agents(ctx)
	if err != nil {
		return nil
	}
	var users []string
	for _, g := range agents {
		if owner := swf.AgentOwner(g.InstanceName); owner != "" && g.AgentType == swf.AgentTypeManager {
			users = append(users, owner)
		}
	}
	slices.Sort(users)
	return slices.Compact(users)
}

// didYouMean is the hint for a name that is not among the valid ones.
func didYouMean(name string, valid []string, these string) string {
	list := strings.Join(valid, ", ")
	if list == "" {
		list = "none"
	}
	if near := swf.Nearest(name, valid); near != "" {
		return fmt.Sprintf("did you mean %q? %s %s", near, these, list)
	}
	return fmt.Sprintf("%s %s", these, list)
}
