package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/swf"
)

// serverKey is the name by which clients know our server.
const serverKey = "testbed-control"

// installFlags are those of testbed mcp install.
type installFlags struct {
	client, scope string
	print         bool
}

func (a *app) mcpCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "mcp", Short: "Connect an assistant to your testbed", Args: cobra.ArbitraryArgs, RunE: helpOrUnknown}
	cmd.AddCommand(a.mcpInstallCommand())
	return cmd
}

func (a *app) mcpInstallCommand() *cobra.Command {
	var f installFlags
	cmd := &cobra.Command{
		Use:   "install --client CLIENT",
		Short: "Write the MCP server into an assistant's configuration",
		Long: `Install adds the server ` + serverKey + ` to the file in which an assistant's client looks for MCP servers. What stands
there already is kept as it is; an entry of that name that differs is not touched.

  claude-code     .mcp.json in the folder you stand in; with --scope user ~/.claude.json
  claude-desktop  claude_desktop_config.json of the user
  vscode          .vscode/mcp.json in the folder you stand in; with --scope user that of the user
  cursor          .cursor/mcp.json in the folder you stand in; with --scope user ~/.cursor/mcp.json

The entry holds no secret: the client starts swf-mcp stdio, which finds the testbed by its folder.`,
		Example: `  testbed mcp install --client claude-code
  testbed mcp install --client vscode --print`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return a.mcpInstall(f) },
	}
	cmd.Flags().StringVar(&f.client, "client", "", "claude-code, claude-desktop, vscode or cursor")
	cmd.Flags().StringVar(&f.scope, "scope", "", "project, for the folder you stand in, or user; default: project where the client has it")
	cmd.Flags().BoolVar(&f.print, "print", false, "print what would be written, and where; change nothing")
	complete(cmd, "client", clientNames()...)
	complete(cmd, "scope", "project", "user")
	return cmd
}

func (a *app) mcpInstall(f installFlags) error {
	c, err := clientNamed(f.client)
	if err != nil {
		return err
	}
	p, err := a.find()
	if err != nil {
		return err
	}
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	path, err := c.file(f.scope, cwd, a.homes())
	if err != nil {
		return err
	}
	server, err := sibling("swf-mcp")
	if err != nil {
		return err
	}
	e := c.entry(server, p.paths.Dir)
	if f.print {
		text, err := inJSON(map[string]any{c.servers: map[string]any{serverKey: e}})
		fmt.Fprintln(a.err, "for", path)
		a.out.Write(text)
		return err
	}
	changed, err := installServer(path, c.servers, serverKey, e)
	if err != nil {
		return err
	}
	if !changed {
		fmt.Fprintf(a.out, "%s has %s already\n", path, serverKey)
		return nil
	}
	fmt.Fprintf(a.out, "%s now has %s\nnext: restart %s, or have it load its servers anew, and ask it to check your agent manager\n", path, serverKey, c.name)
	return nil
}

// installServer adds an entry to the object named servers of a JSON file, which
// is made where it is missing. Everything else keeps its order and its text. It
// reports whether it changed anything.
func installServer(path, servers, key string, e entry) (bool, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link goes on to be one
	}
	old, mode, err := readForMerge(path)
	if err != nil {
		return false, err
	}
	text, err := mergeServer(old, servers, key, e)
	var kept *swf.Error
	if errors.As(err, &kept) {
		return false, swf.E(kept.Code, path+" "+kept.Message, kept.Hint)
	}
	if err != nil || bytes.Equal(text, old) {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	return true, replaceFile(path, text, mode)
}

func readForMerge(path string) ([]byte, fs.FileMode, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0o600, nil
	}
	if err != nil {
		return nil, 0, err
	}
	text, err := os.ReadFile(path)
	return text, info.Mode().Perm(), err
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// mergeServer is installServer on the text. Its errors lack the file's name.
func mergeServer(old []byte, servers, key string, e entry) ([]byte, error) {
	doc, err := readObject(old)
	if err != nil {
		return nil, swf.E(swf.CodeInvalidConfig, "is not plain JSON, so that nothing can be added to it safely", "add by hand what --print shows")
	}
	list, err := readObject(doc.get(servers))
	if err != nil {
		return nil, swf.E(swf.CodeInvalidConfig, fmt.Sprintf("has a %q that is no object", servers), "correct it, or add by hand what --print shows")
	}
	want, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	if have := list.get(key); have != nil {
		if sameJSON(have, want) {
			return old, nil
		}
		return nil, swf.E(swf.CodeConflict, fmt.Sprintf("has another %s; nothing was changed", key), "compare it with what --print shows, and remove it there first")
	}
	list.set(key, want)
	doc.set(servers, list.text())
	var b bytes.Buffer
	if err := json.Indent(&b, doc.text(), "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
