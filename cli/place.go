package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"strings"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows"
)

// place is one testbed as a command finds it: the folder, where its things
// are, and the environment.
type place struct {
	app      *app
	paths    config.Paths
	username string
	env      *config.Env
	fresh    bool       // up and demo bring their own broker and monitor
	agents   bool       // a manager: files win over what it inherited
	watched  *telemetry // of a daemon; nil: nobody watches
}

// find resolves the testbed folder and what belongs to it.
func (a *app) find() (*place, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	dir, err := config.Folder(a.dir, cwd, a.getenv)
	if err != nil {
		return nil, err
	}
	return a.at(dir, nil)
}

// at makes the place of a folder; refine may change how its environment is
// read.
func (a *app) at(dir string, refine func(*place)) (*place, error) {
	username, err := a.username()
	if err != nil {
		return nil, err
	}
	p := &place{app: a, username: username}
	if refine != nil {
		refine(p)
	}
	if p.paths.Dir == "" {
		if p.paths, err = config.FindPaths(dir, a.getenv); err != nil {
			return nil, err
		}
	}
	p.env, err = config.LoadEnv(p.envOptions(nil))
	return p, err
}

// username is the operating-system user: over stdio that is who asks.
func (a *app) username() (string, error) {
	name := a.getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if err := swf.CheckName(swf.KindUsername, name); err != nil {
		return "", swf.E(swf.CodeEnvironment, fmt.Sprintf("the user name %q cannot be part of a queue's name", name),
			"run as a user whose name is made of small letters, digits, _ and -").Because(err)
	}
	return name, nil
}

func (p *place) envOptions(extra map[string]string) config.EnvOptions {
	return config.EnvOptions{
		Dir: p.paths.Dir, Home: p.app.getenv("HOME"), Inherited: p.app.environ(),
		PreferFiles: p.agents, DropInherited: p.fresh, User: p.username, Extra: extra,
	}
}

func (p *place) sources() config.Sources {
	return config.Sources{Dir: p.paths.Dir, Embedded: workflows.Files, Getenv: p.env.Get}
}

// testbed is the supervisord of this place.
func (p *place) testbed(log *slog.Logger) *manager.Testbed {
	return manager.NewTestbed(manager.TestbedOptions{
		Username: p.username, Paths: p.paths, Sources: p.sources(), Log: log,
		Environ: p.programEnv,
		Binary:  p.supervisord,
	})
}

// programEnv is what a start gives to supervisord and its programs.
func (p *place) programEnv(extra map[string]string) ([]string, error) {
	settings, err := config.LoadManagerSettings(p.paths.ManagerSettings())
	if err != nil {
		return nil, err
	}
	if settings.LegacyWorkflowQueue {
		extra[envLegacyWorkflow] = "true"
	}
	env, err := config.Environment(p.envOptions(extra))
	return without(env, "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"), err // a collector's password is ours
}

// envLegacyWorkflow tells a runner to obey the shared queue of the Python
// system too.
const envLegacyWorkflow = "SWF_LEGACY_WORKFLOW_QUEUE"

func (p *place) supervisord() (string, error) {
	path, err := supervisor.FindBinary(p.paths.Dir, func(key string) string {
		if v := p.env.Get(key); v != "" || key != "SWF_SUPERVISORD" {
			return v
		}
		return p.app.getenv(key) // where a program is belongs to the host: up must not forget it with the rest
	})
	if err != nil {
		return "", swf.E(swf.CodeNoSupervisord, err.Error(),
			"install it: apt-get install supervisor (or your system's way), or python3 -m venv .venv && .venv/bin/pip install supervisor in "+p.paths.Dir).Because(err)
	}
	return path, nil
}

// broker says how to reach the broker.
func (p *place) broker(log *slog.Logger) (amq.Options, error) {
	o, err := amq.OptionsFromEnv(p.env.Get)
	if err != nil {
		return o, swf.E(swf.CodeEnvironment, err.Error(), "mend the ACTIVEMQ_ variables in the environment or in .env").Because(err)
	}
	o.Log = log
	return o, nil
}

// monitor is the client of the monitor, or nil where none is configured.
func (p *place) monitor() (*monitor.Client, error) {
	o, err := monitor.OptionsFromEnv(p.env.Get)
	if swf.IsCode(err, swf.CodeMonitorUnavailable) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o.Answered = p.watched.monitorAnswered()
	return monitor.New(o), nil
}

// keys follows this user's control keys; there may be none.
func (p *place) keys(log *slog.Logger) (func() control.Ring, error) {
	if _, err := control.ReadRing(p.paths.ControlKey()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return (&control.KeyFile{Path: p.paths.ControlKey(), Log: log}).Ring, nil
}

// banner says which broker, monitor, configuration and namespace are in use,
// and where each came from.
func (p *place) banner(asked string) {
	t, err := config.Load(p.sources(), asked)
	if err != nil {
		t = nil // the start itself says what is wrong
	}
	for _, o := range p.env.Explain(t, asked) {
		value := o.Value
		if value == "" {
			value = "none"
		}
		fmt.Fprintf(p.app.err, "%-10s %s (%s)\n", o.What, value, o.From)
	}
}

// command completes a command of this user to this user's own testbed.
func (p *place) command(verb control.Verb) control.Command {
	return control.Command{Verb: verb, Username: p.username, IssuedBy: p.username, Source: "cli"}
}

// askManager sends a command to the manager on this host, if one lives.
// Asked is false when none does.
func (p *place) askManager(ctx context.Context, cmd control.Command) (r control.Reply, asked bool, err error) {
	socket, err := manager.LocalSocket(p.paths)
	if err != nil {
		return r, false, err
	}
	r, err = manager.AskLocal(ctx, socket, cmd, func(r control.Reply) {
		if r.Kind == control.Progress {
			p.say(r.Message, r.Programs)
		}
	})
	if isNoManager(err) {
		return r, false, nil
	}
	return r, true, err
}

func isNoManager(err error) bool { return swf.IsCode(err, swf.CodeNoManager) }

// say prints progress to standard error.
func (p *place) say(text string, _ []swf.Program) { p.app.tell(text) }

// outcome turns a reply into the command's error.
func outcome(r control.Reply) error {
	if r.Outcome == control.Succeeded {
		return nil
	}
	return outcomeError{r}
}

func programLines(programs []swf.Program) string {
	var b strings.Builder
	for _, q := range programs {
		fmt.Fprintf(&b, "  %-24s %-9s", q.Name, q.State)
		if q.PID != 0 {
			fmt.Fprintf(&b, " pid %d", q.PID)
		}
		if q.Restarted {
			b.WriteString(" (restarted)")
		}
		if q.Reason != "" {
			fmt.Fprintf(&b, " (%s)", q.Reason)
		}
		b.WriteByte('\n')
		if q.LogTail != "" {
			b.WriteString(indent(indent(strings.TrimRight(q.LogTail, "\n"))))
			b.WriteByte('\n')
		}
	}
	return b.String()
}
