package cli

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

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

// manualHeader is the same on each page. A package sets SOURCE_DATE_EPOCH: the
// same source then makes the same pages.
func manualHeader() *doc.GenManHeader {
	return &doc.GenManHeader{Section: "1", Source: "testbed " + swf.Version, Manual: "ePIC streaming workflow testbed"}
}

func (a *app) writeManuals(to string, args []string) error {
	if len(args) > 0 {
		return usageError{swf.E(swf.CodeInvalidArgument, "--to writes the pages of all commands", "leave "+strings.Join(args, " ")+" out")}
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, root := range a.roots() {
		root.DisableAutoGenTag = true
		root.InitDefaultCompletionCmd()
		if err := doc.GenManTree(root, manualHeader(), to); err != nil {
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
	cmd.DisableAutoGenTag = true
	var b bytes.Buffer
	if err := doc.GenMan(cmd, manualHeader(), &b); err != nil {
		return err
	}
	_, err = a.out.Write(b.Bytes())
	return err
}
