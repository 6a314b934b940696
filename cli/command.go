package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/swf"
)

// app is what every command has: its streams and its environment. Tests make
// their own.
type app struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	environ  func() []string
	output   string // table, json or yaml
	dir      string // --dir
	verbose  bool
	logging  logFlags

	linked Linked // of the testbed command alone
}

func newApp() *app {
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, environ: os.Environ}
	if isTerminal(os.Stderr) && a.getenv("TERM") != "dumb" {
		a.err = &screen{to: os.Stderr}
	}
	return a
}

// log writes to standard error: standard output belongs to what was asked for.
func (a *app) log() *slog.Logger { return a.logAt(slog.LevelWarn) }

// daemonLog is for programs that run for long.
func (a *app) daemonLog() *slog.Logger { return a.logAt(slog.LevelInfo) }

func (a *app) logAt(level slog.Level) *slog.Logger {
	if a.verbose {
		level = slog.LevelDebug
	}
	return a.logging.logger(a.err, level)
}

// Testbed is the testbed command, with what it links and the others do not. It
// returns the exit code. Programs call Main of the room cli/testbed.
func Testbed(ctx context.Context, args []string, l Linked) int {
	a := newApp()
	a.linked = l
	return a.execute(ctx, a.testbedRoot(), args)
}

// MCP is the swf-mcp command.
func MCP(ctx context.Context, args []string) int {
	a := newApp()
	return a.execute(ctx, a.mcpRoot(), args)
}

// Manager is the agent-manager command: testbed agent-manager under a name of
// its own.
func Manager(ctx context.Context, args []string) int {
	a := newApp()
	return a.execute(ctx, a.managerRoot(), args)
}

// Agent is the swf-agent command: the programs that supervisord runs.
func Agent(ctx context.Context, args []string) int {
	a := newApp()
	return a.execute(ctx, a.agentRoot(), args)
}

// roots are the four programs.
func (a *app) roots() []*cobra.Command {
	return []*cobra.Command{a.testbedRoot(), a.mcpRoot(), a.managerRoot(), a.agentRoot()}
}

func (a *app) testbedRoot() *cobra.Command {
	root := a.root("testbed", "Start, stop and watch your workflow agents")
	root.AddCommand(a.initCommand(), a.upCommand(), a.demoCommand(), a.runCommand(), a.stopAgentsCommand(),
		a.statusCommand(), a.logsCommand(), a.workflowCommand(), a.agentsCommand(), a.historyCommand(),
		a.configCommand(), a.doctorCommand(), a.mcpCommand(), a.tokenCommand(), a.keyCommand(), a.monitorCommand(),
		a.agentManagerCommand("agent-manager"), a.installServiceCommand(), a.manCommand())
	return root
}

func (a *app) mcpRoot() *cobra.Command {
	root := a.root("swf-mcp", "The MCP server of the testbed")
	root.AddCommand(a.stdioCommand(), a.serveCommand())
	return root
}

func (a *app) managerRoot() *cobra.Command {
	root := a.agentManagerCommand("agent-manager")
	a.global(root)
	return root
}

func (a *app) agentRoot() *cobra.Command {
	root := a.root("swf-agent", "The programs of a testbed; supervisord starts them")
	root.AddCommand(append(a.agentCommands(), a.runnerCommand())...)
	return root
}

func (a *app) root(name, short string) *cobra.Command {
	root := &cobra.Command{Use: name, Short: short, Args: cobra.ArbitraryArgs, RunE: helpOrUnknown}
	a.global(root)
	return root
}

// helpOrUnknown is what a command with subcommands does by itself.
func helpOrUnknown(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	hint := "see " + cmd.CommandPath() + " --help"
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	if near := swf.Nearest(args[0], names); near != "" {
		hint = fmt.Sprintf("did you mean %s %s?", cmd.CommandPath(), near)
	}
	return usageError{swf.E(swf.CodeInvalidArgument, fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0]), hint)}
}

// global gives a root what all commands share.
func (a *app) global(root *cobra.Command) {
	root.Version = swf.Version
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().StringVar(&a.dir, "dir", "", "the testbed folder (default: the one you stand in, else $SWF_HOME/swf-testbed)")
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "say more on standard error")
	a.logging.add(root)
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.logging.check(a.getenv) }
}

func (a *app) execute(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	report(a.err, err, a.ink(a.err))
	return exitCode(err)
}

// usageArgs makes cobra's complaints about arguments usage errors.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}
