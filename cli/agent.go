package cli

import (
	"context"
	"log/slog"
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
					StartID: s.options.StartID, Program: s.options.Program, Outbox: s.options.Outbox, LegacyQueue: a.getenv(envLegacyWorkflow) == "true", Log: s.options.Log,
				})
				if err != nil {
					return err
				}
				return r.Run(ctx)
			})
		},
	}
}

// agentCommands are the example agents.
func (a *app) agentCommands() []*cobra.Command {
	agent := func(use, short string, build func(agents.Options) (runner, error)) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Args: usageArgs(cobra.NoArgs),
			RunE: func(cmd *cobra.Command, _ []string) error {
				return a.supervised(cmd.Context(), func(ctx context.Context, s *supervised) error {
					r, err := build(s.options)
					if err != nil {
						return err
					}
					return r.Run(ctx)
				})
			},
		}
	}
	index, of := 0, 1
	worker := agent("worker", "Simulated PanDA workers: process slices and answer them",
		func(o agents.Options) (runner, error) { return agents.NewWorker(o, index, of) })
	worker.Flags().IntVar(&index, "index", 0, "number of this process among those that share the work, from 0")
	worker.Flags().IntVar(&of, "of", 1, "how many processes share the work")
	return []*cobra.Command{
		agent("data", "The data agent: registers runs and STF files, announces them",
			func(o agents.Options) (runner, error) { return agents.NewData(o) }),
		agent("processing", "The processing agent: works on one STF at a time",
			func(o agents.Options) (runner, error) { return agents.NewProcessing(o) }),
		agent("fastmon", "The fastmon agent: samples the time frames of each STF",
			func(o agents.Options) (runner, error) { return agents.NewFastMon(o) }),
		agent("fast-processing", "The fast processing agent: cuts samples into slices for the workers",
			func(o agents.Options) (runner, error) { return agents.NewFast(o) }),
		worker,
	}
}

// runner is an agent.
type runner interface{ Run(context.Context) error }

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
		Parameters: s.parameters(log),
	}
	if state := a.getenv("SWF_STATE_DIR"); state != "" {
		s.options.Outbox = config.Paths{State: state}.Outbox()
	}
	return s, nil
}

// parameters are those of the testbed's own workflow.
func (s *supervised) parameters(log *slog.Logger) agents.Parameters {
	run, err := config.ResolveRun(s.sources, s.testbed, config.RunRequest{})
	if err != nil {
		log.Warn("the testbed's workflow cannot be resolved; agents depend on the monitor for parameters", "err", err)
		return nil
	}
	p := agents.Parameters(run.Values)
	p["realtime"] = run.Realtime
	return p
}
