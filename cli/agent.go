package cli

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/agents"
	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows"
)

// A supervised program reads nothing but its environment: the start that
// launched it has merged every .env file and resolved the configuration.

func (a *app) runnerCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "runner",
		Short: "The program that executes workflows",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.supervised(cmd.Context(), func(ctx context.Context, s *supervised) error {
				state := a.getenv("SWF_STATE_DIR")
				paths := config.Paths{State: state}
				key, err := control.ReadKey(paths.RunnerKey())
				if err != nil {
					return swf.E(swf.CodeEnvironment, "the runner has no key of its start", "start it with testbed run or start_user_testbed, not by hand").Because(err)
				}
				r, err := workflows.New(workflows.Options{
					Bus: s.bus, Monitor: s.options.Monitor, Key: key, Runs: control.Runs{Dir: paths.Runs()},
					Testbed: s.testbed, Sources: s.sources, Username: s.options.Username, Namespace: s.testbed.Namespace,
					StartID: s.options.StartID, Program: s.options.Program, LegacyQueue: a.getenv(envLegacyWorkflow) == "true", Log: s.options.Log,
				})
				if err != nil {
					return err
				}
				return r.Run(ctx)
			})
		},
	}
}

func (a *app) dataCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "data",
		Short: "The data agent: registers runs and STF files, announces them",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.supervised(cmd.Context(), func(ctx context.Context, s *supervised) error {
				d, err := agents.NewData(s.options)
				if err != nil {
					return err
				}
				return d.Run(ctx)
			})
		},
	}
}

// supervised is what every program of a testbed works with.
type supervised struct {
	testbed *config.Testbed
	sources config.Sources
	bus     *amq.Conn
	options agents.Options
}

// supervised runs a program until supervisord wants it gone; the connection to
// the broker outlives it, for its last words.
func (a *app) supervised(ctx context.Context, run func(context.Context, *supervised) error) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGQUIT)
	defer stop()
	s, err := a.newSupervised()
	if err != nil {
		return err
	}
	busCtx, endBus := context.WithCancel(context.WithoutCancel(ctx))
	var bus sync.WaitGroup
	bus.Go(func() { _ = s.bus.Run(busCtx) })
	err = run(ctx, s)
	endBus()
	bus.Wait()
	return err
}

func (a *app) newSupervised() (*supervised, error) {
	log := a.daemonLog()
	username, err := a.username()
	if err != nil {
		return nil, err
	}
	file := a.getenv("SWF_TESTBED_CONFIG")
	if file == "" {
		return nil, swf.E(swf.CodeEnvironment, "SWF_TESTBED_CONFIG is not set", "supervisord starts this program; use testbed run or start_user_testbed")
	}
	cwd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	s := &supervised{sources: config.Sources{Dir: cwd, Embedded: workflows.Files, Getenv: a.getenv}}
	if filepath.IsAbs(file) {
		s.testbed, err = config.LoadFile(s.sources, file)
	} else {
		s.testbed, err = config.Load(s.sources, "")
	}
	if err != nil {
		return nil, err
	}
	broker, err := amq.OptionsFromEnv(a.getenv)
	if err != nil {
		return nil, err
	}
	broker.Log = log
	mo, err := monitor.OptionsFromEnv(a.getenv)
	if err != nil {
		return nil, err
	}
	s.bus = amq.New(broker)
	s.options = agents.Options{
		Bus: s.bus, Monitor: monitor.New(mo), Username: username, Namespace: s.testbed.Namespace,
		StartID: a.getenv("SWF_START_ID"), Program: a.getenv("SUPERVISOR_PROCESS_NAME"), Log: log,
	}
	return s, nil
}
