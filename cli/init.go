package cli

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
)

//go:embed templates
var templates embed.FS

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIR]",
		Short: "Make a testbed folder: configuration, supervisord file, control key",
		Long: `Init writes workflows/testbed.toml (your user name is the namespace), agents.supervisord.conf for our own agents,
and your control key. What is there already is kept.`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := a.dir
			if len(args) == 1 {
				dir = args[0]
			}
			if dir == "" {
				dir = "."
			}
			return a.initFolder(dir, nil)
		},
	}
}

// initFolder makes the folder complete. paths nil means where they belong for
// a folder that is not one of testbed up.
func (a *app) initFolder(dir string, paths *config.Paths) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if paths == nil {
		p, err := config.FindPaths(dir, a.getenv)
		if err != nil {
			return err
		}
		paths = &p
	}
	if err := paths.Make(); err != nil {
		return err
	}
	values, err := a.initValues(*paths)
	if err != nil {
		return err
	}
	_, notThere := os.Lstat(paths.SupervisordConf())
	existing := notThere == nil && !paths.Up
	for _, f := range []struct{ template, path string }{
		{"testbed.toml", filepath.Join(dir, "workflows", "testbed.toml")},
		{"agents.supervisord.conf", paths.SupervisordConf()},
	} {
		if err := a.writeTemplate(f.template, f.path, values); err != nil {
			return err
		}
	}
	err = control.WriteKey(paths.ControlKey(), control.NewKey())
	if errors.Is(err, fs.ErrExist) {
		fmt.Fprintln(a.err, "kept", paths.ControlKey())
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(a.err, "wrote", paths.ControlKey(), "(the control key: give it to the MCP server, show it to nobody)")
	if existing {
		return a.keepUnsigned(paths.ManagerSettings())
	}
	return nil
}

// unsignedSettings are those of a manager in whose place a Python one has been:
// whoever commands it has no key yet (design, 4b.14).
const unsignedSettings = `# The MCP server that commands this testbed has no control key yet. Give it yours
# (testbed key export here, testbed key enroll there), then remove these lines:
# nothing unsigned is taken from then on.
accept_unsigned = true
legacy_control_queue = true
`

// keepUnsigned writes the settings of a testbed that was there before its key.
func (a *app) keepUnsigned(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(unsignedSettings)
	fmt.Fprintln(a.err, "wrote", path, "(UNSIGNED commands are taken until you remove accept_unsigned and legacy_control_queue)")
	return errors.Join(err, f.Close())
}

// initValues are what the templates say about this user and this host.
type initValues struct {
	Username, Namespace string
	Socket              string
	Agent               string // our swf-agent
}

func (a *app) initValues(p config.Paths) (v initValues, err error) {
	if v.Username, err = a.username(); err != nil {
		return v, err
	}
	v.Namespace = v.Username
	if v.Socket, err = p.Socket("agents"); err != nil {
		return v, err
	}
	v.Agent, err = sibling("swf-agent")
	return v, err
}

// writeTemplate writes a file that is not there yet.
func (a *app) writeTemplate(name, path string, values initValues) error {
	if _, err := os.Lstat(path); err == nil {
		fmt.Fprintln(a.err, "kept", path)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	t, err := template.ParseFS(templates, "templates/"+name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	err = t.Execute(f, values)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		fmt.Fprintln(a.err, "wrote", path)
	}
	return err
}
