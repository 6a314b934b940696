package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/swf"
)

func (a *app) manCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "man [COMMAND...]",
		Short: "Print a manual page, or write all of them",
		Long: `Man prints the manual page of a command, in roff. With --to it writes the pages of all commands of testbed, swf-mcp,
agent-manager and swf-agent into a folder, for a package or for your own MANPATH.`,
		Example: `  testbed man workflow start | man -l -
  testbed man --to ~/.local/share/man/man1`,
		RunE: func(_ *cobra.Command, args []string) error {
			if to != "" {
				return a.writeManuals(to, args)
			}
			return a.printManual(args)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the folder to write all pages to; it is made where it is missing")
	return cmd
}

// manual is the page of a command. A package sets SOURCE_DATE_EPOCH: the same
// source then makes the same pages.
func (a *app) manual(cmd *cobra.Command) ([]byte, error) {
	cmd.DisableAutoGenTag = true
	return a.linked.Manual(cmd, "testbed "+swf.Version)
}

func (a *app) writeManuals(to string, args []string) error {
	if len(args) > 0 {
		return usageError{swf.E(swf.CodeInvalidArgument, "--to writes the pages of all commands", "leave "+strings.Join(args, " ")+" out")}
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, root := range a.roots() {
		root.InitDefaultCompletionCmd()
		if err := a.writeManualsOf(root, to); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(to)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%d manual pages are in %s\n", len(entries), to)
	return nil
}

// writeManualsOf writes the pages of a command and all below it.
func (a *app) writeManualsOf(cmd *cobra.Command, to string) error {
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand() {
			continue
		}
		if err := a.writeManualsOf(c, to); err != nil {
			return err
		}
	}
	page, err := a.manual(cmd)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"), page, 0o644)
}

// printManual prints one page. The words may begin with the name of a program.
func (a *app) printManual(words []string) error {
	root := a.testbedRoot()
	for _, r := range a.roots() {
		if len(words) > 0 && words[0] == r.Name() && r.Name() != "agent-manager" {
			root, words = r, words[1:]
		}
	}
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(words)
	if err != nil || len(rest) > 0 {
		return usageError{swf.E(swf.CodeInvalidArgument, fmt.Sprintf("there is no command %q", strings.Join(words, " ")), "testbed --help lists the commands")}
	}
	page, err := a.manual(cmd)
	if err != nil {
		return err
	}
	_, err = a.out.Write(page)
	return err
}
