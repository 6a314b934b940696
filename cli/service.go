package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/swf"
)

// unitName is the manager's unit, of the user's own systemd.
const unitName = "testbed-agent-manager.service"

// serviceWish is what a person wants of install-service.
type serviceWish struct {
	output        string // folder; "" is where systemd looks for a user's units
	enable, force bool
}

func (a *app) installServiceCommand() *cobra.Command {
	var w serviceWish
	cmd := &cobra.Command{
		Use:   "install-service",
		Short: "Have systemd keep your agent manager running",
		Long: `Install-service writes a unit for your own systemd (no root is needed) that starts the agent manager of this testbed
folder, starts it anew when it fails or hangs, and leaves your agents alone when the manager ends. The unit holds no
secrets: broker, monitor and passwords come from the folder's .env, as ever.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.installService(cmd.Context(), w) },
	}
	cmd.Flags().BoolVar(&w.enable, "enable", false, "also start it now and at each login")
	cmd.Flags().BoolVar(&w.force, "force", false, "overwrite a unit that is there and differs")
	cmd.Flags().StringVar(&w.output, "output", "", "the folder to write to (default: ~/.config/systemd/user)")
	return cmd
}

func (a *app) installService(ctx context.Context, w serviceWish) error {
	if w.enable && w.output != "" {
		return usageError{swf.E(swf.CodeInvalidArgument, "systemd does not look for units in "+w.output, "leave out --output, or --enable")}
	}
	p, err := a.findManager()
	if err != nil {
		return err
	}
	if _, err := os.Stat(p.paths.SupervisordConf()); err != nil {
		return swf.E(swf.CodeEnvironment, fmt.Sprintf("there is no %s", p.paths.SupervisordConf()), "run testbed init in that folder, or name the right one with --dir").Because(err)
	}
	unit, err := p.unit()
	if err != nil {
		return err
	}
	folder := w.output
	if folder == "" {
		folder = filepath.Join(a.configHome(), "systemd", "user")
	}
	path := filepath.Join(folder, unitName)
	if err := writeUnit(path, unit, w.force); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s is written\n", path)
	if w.enable {
		return a.enableService(ctx)
	}
	fmt.Fprint(a.out, `next:
  systemctl --user daemon-reload
  systemctl --user enable --now `+unitName+`
  loginctl enable-linger          # keep it running after you log out
`)
	return nil
}

func (a *app) configHome() string {
	if dir := a.getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(a.getenv("HOME"), ".config")
}

// enableService does the first two of the next commands; to linger is a
// decision of its own.
func (a *app) enableService(ctx context.Context) error {
	for _, args := range [][]string{{"--user", "daemon-reload"}, {"--user", "enable", "--now", unitName}} {
		cmd := exec.CommandContext(ctx, "systemctl", args...)
		said, err := cmd.CombinedOutput()
		if err != nil {
			return swf.E(swf.CodeEnvironment, fmt.Sprintf("systemctl %s: %v: %s", strings.Join(args, " "), err, strings.TrimSpace(string(said))),
				"the unit is written; log in on this host with a session of your own and run the command there").Because(err)
		}
	}
	fmt.Fprint(a.out, "the agent manager is running and starts at each login\nto keep it running after you log out: loginctl enable-linger\n")
	return nil
}

// writeUnit writes a unit, and keeps one that somebody has changed.
func writeUnit(path string, unit []byte, force bool) error {
	have, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(have, unit):
		return nil
	case err == nil && !force:
		return swf.E(swf.CodeInvalidArgument, path+" is there and differs from what would be written; nothing was changed", "compare it with --output DIR, or overwrite it with --force")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, unit, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// unitVariables are passed on where they are set: they say where things are,
// so that the service and the person at the terminal find the same. Nothing
// that may hold a secret is among them.
var unitVariables = []string{"XDG_STATE_HOME", "XDG_CONFIG_HOME", "SWF_HOME"}

// unit writes the unit of the manager of this place.
func (p *place) unit() ([]byte, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	data := struct {
		Username, Dir, Program, ExecDir string
		Environment                     []string
	}{p.username, unitValue(p.paths.Dir), unitCommand(program), unitCommand(p.paths.Dir), nil}
	for _, name := range unitVariables {
		if v := p.app.getenv(name); v != "" {
			data.Environment = append(data.Environment, unitQuote(unitValue(name+"="+v)))
		}
	}
	if path, err := p.supervisord(); err == nil { // a service's PATH is shorter than a terminal's
		data.Environment = append(data.Environment, unitQuote(unitValue("SWF_SUPERVISORD="+path)))
	}
	for _, v := range append([]string{program, p.paths.Dir}, data.Environment...) {
		if strings.ContainsAny(v, "\n\r\x00") {
			return nil, swf.E(swf.CodeEnvironment, fmt.Sprintf("%q cannot stand in a unit: it is of two lines", v), "rename it")
		}
	}
	text, err := template.ParseFS(templates, "templates/"+unitName)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = text.Execute(&b, data)
	return b.Bytes(), err
}

// unitValue escapes what systemd would expand anywhere.
func unitValue(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// unitQuote makes one word of s.
func unitQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// unitCommand makes one word of a command line of s, in which variables are
// expanded too.
func unitCommand(s string) string {
	return unitQuote(strings.ReplaceAll(unitValue(s), "$", "$$"))
}
