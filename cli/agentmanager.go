package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

func (a *app) agentManagerCommand(name string) *cobra.Command {
	var f metricsFlag
	cmd := &cobra.Command{
		Use:   name,
		Short: "Run your agent manager: commands in, supervisord out",
		Long: `The agent manager takes commands from your control queue and drives your supervisord. It runs in the foreground;
in the background: nohup testbed agent-manager &. SIGUSR1 sends a heartbeat now, SIGTERM ends it; agents go on running.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.agentManager(cmd.Context(), f) },
	}
	f.add(cmd)
	cmd.AddCommand(
		a.outputFlag(&cobra.Command{Use: "status", Short: "Ask the manager on this host", Args: usageArgs(cobra.NoArgs),
			RunE: func(cmd *cobra.Command, _ []string) error { return a.managerStatus(cmd.Context()) }}),
		&cobra.Command{Use: "stop", Short: "End the manager on this host; agents go on running", Args: usageArgs(cobra.NoArgs),
			RunE: func(cmd *cobra.Command, _ []string) error { return a.managerStop(cmd.Context()) }},
		a.outputFlag(&cobra.Command{Use: "restart", Short: "Stop the agents and start the manager on this host anew", Args: usageArgs(cobra.NoArgs),
			RunE: func(cmd *cobra.Command, _ []string) error { return a.managerRestart(cmd.Context()) }}),
	)
	return cmd
}

func (a *app) agentManager(ctx context.Context, f metricsFlag) error {
	if err := needLinux("the agent manager"); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGHUP) // a closed terminal is no reason to leave
	inherited := a.environ()
	a.environ = func() []string {
		return without(inherited, manager.LifeEnv, "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
	} // no program's business
	p, err := a.findManager()
	if err != nil {
		return err
	}
	p.banner("")
	settings, err := config.LoadManagerSettings(p.paths.ManagerSettings())
	if err != nil {
		return err
	}
	level, err := settings.Level()
	if err != nil {
		return err
	}
	log := a.logAt(level)
	if p.watched, err = p.telemetry("agent-manager", f, listenFlags{}, log); err != nil {
		return err
	}
	defer p.watched.close()
	o, err := p.managerOptions(settings, log)
	if err != nil {
		return err
	}
	beat := make(chan os.Signal, 1)
	signal.Notify(beat, syscall.SIGUSR1)
	defer signal.Stop(beat)
	o.Beat = forward(ctx, beat)
	o.Service = manager.ServiceFromEnv(os.Getenv, os.Getpid())
	var life *manager.Lock
	o.Life, o.Keep = a.keptLife(o.Log), func(l *manager.Lock) { life = l }
	err = manager.New(o).Run(ctx)
	if errors.Is(err, manager.ErrRestart) {
		p.watched.close() // the next one listens at the same address
		return reexec(life)
	}
	return err
}

// keptLife is the life lock that this process had before it replaced itself.
// Its variable is ours alone, no program's.
func (a *app) keptLife(log *slog.Logger) *manager.Lock {
	value, kept := os.LookupEnv(manager.LifeEnv)
	if !kept {
		return nil
	}
	life, err := manager.AdoptLock(value)
	if err != nil {
		log.Warn("the life lock was not handed over", "err", err)
	}
	return life
}

// findManager is find for a daemon: what the files say now wins over what the
// daemon inherited when it was started.
func (a *app) findManager() (*place, error) {
	p, err := a.find()
	if err != nil {
		return nil, err
	}
	return a.at(p.paths.Dir, func(p *place) { p.agents = true })
}

// managerOptions wires a manager of this place.
func (p *place) managerOptions(settings config.ManagerSettings, log *slog.Logger) (manager.Options, error) {
	broker, err := p.broker(log)
	if err != nil {
		return manager.Options{}, err
	}
	client, err := p.monitor()
	if err != nil {
		return manager.Options{}, err
	}
	keys, err := p.keys(log)
	if err != nil {
		return manager.Options{}, err
	}
	o := manager.Options{
		Username: p.username, Paths: p.paths, Testbed: p.testbed(log), Broker: broker,
		Keys: keys, AcceptUnsigned: settings.AcceptUnsigned, LegacyQueue: settings.LegacyControlQueue,
		Heartbeat: settings.Heartbeat, KeepOutcomes: time.Duration(settings.JournalDays) * 24 * time.Hour, Version: swf.Version, Log: log,
		Audit: p.trail("manager", log), Metrics: p.watched.metrics(), Tracer: p.watched.tracer(),
	}
	if client != nil {
		o.Monitor = client
	} else {
		log.Warn("no monitor is configured: heartbeats are not sent", "hint", "set SWF_MONITOR_URL")
	}
	return o, nil
}

// forward turns signals into heartbeats.
func forward(ctx context.Context, signals <-chan os.Signal) <-chan struct{} {
	beats := make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
				select {
				case beats <- struct{}{}:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return beats
}

// reexec replaces this process by the program as it is on disk now, which
// goes on with the life lock: no other manager comes in between.
func reexec(life *manager.Lock) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	value, err := life.HandOver()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, append(without(os.Environ(), manager.LifeEnv), manager.LifeEnv+"="+value))
}

// without returns env less the variables named.
func without(env []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(names, name)
	})
}

func (a *app) managerStatus(ctx context.Context) error {
	p, err := a.findManager()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, asked, err := p.askManager(ctx, p.command(control.Ping))
	if err != nil {
		return err
	}
	if !asked || r.Pong == nil {
		return noManagerHere()
	}
	return a.show(r.Pong, fmt.Sprintf("agent manager of %s: pid %d, testbed folder %s, configuration %q\n", r.Pong.Username, r.Pong.PID, r.Pong.Dir, r.Pong.Config))
}

func noManagerHere() error {
	return swf.E(swf.CodeNoManager, "no agent manager runs on this host", "start it: testbed agent-manager")
}

func (a *app) managerStop(ctx context.Context) error {
	p, err := a.findManager()
	if err != nil {
		return err
	}
	socket, err := manager.LocalSocket(p.paths)
	if err != nil {
		return err
	}
	m, err := holdListener(socket)
	if err != nil {
		return err
	}
	defer m.close()
	if err := m.signal(unix.SIGTERM); err != nil {
		return err
	}
	defer a.waiting("ending the agent manager")()
	if err := m.wait(ctx); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "the agent manager (pid %d) has ended; agents go on running\n", m.pid)
	return nil
}

func (a *app) managerRestart(ctx context.Context) error {
	p, err := a.findManager()
	if err != nil {
		return err
	}
	cmd := p.command(control.Restart)
	cmd.Complete(time.Now())
	end := a.waiting("restarting the agent manager")
	defer end()
	r, asked, err := p.askManager(ctx, cmd)
	if err != nil {
		return err
	}
	if !asked {
		return noManagerHere()
	}
	if r.Outcome != control.Pending { // refused, or failed to stop
		return outcome(r)
	}
	r, err = p.afterRestart(ctx, cmd.ID)
	if err != nil {
		return err
	}
	end()
	return a.showReply(r, r.Message)
}

// afterRestart asks the next manager what became of the restart.
func (p *place) afterRestart(ctx context.Context, id string) (control.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	look := p.command(control.Status)
	look.Of = &control.Of{CommandID: id}
	for {
		look.ID = "" // each look is a command of its own
		r, asked, err := p.askManager(ctx, look)
		if err == nil && asked && r.Of != nil && r.Of.Outcome != control.Pending {
			return *r.Of, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return control.Reply{}, swf.E(swf.CodePending, "the manager has not come back yet", "look at its log; start it by hand: testbed agent-manager")
		}
	}
}

var _ manager.Monitor = (*monitor.Client)(nil)
