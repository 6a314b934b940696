package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

// upFlags are those of testbed up.
type upFlags struct {
	dir                  string
	broker, monitor, mcp string
	metrics              metricsFlag
	insecure             bool
	quiet                bool
}

func (a *app) upCommand() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring up broker, monitor, MCP server and agent manager in this terminal",
		Long: `Up runs everything a testbed needs in one foreground process, on loopback, and keeps all of it below the testbed
folder, which is made where it is missing. Other programs run in that folder find it through run/endpoints.json.
Ctrl-C stops the agents and everything else, as does a terminal that is closed.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needLinux("testbed up"); err != nil {
				return err
			}
			f.dir = a.dir
			if f.dir == "" {
				f.dir = "."
			}
			ctx, stop := a.whileFollowed(cmd.Context())
			defer stop()
			u := a.newUp(f)
			return u.during(ctx, func(ctx context.Context, e *config.Endpoints) error {
				u.announce(e)
				<-ctx.Done()
				fmt.Fprintln(a.err, "stopping the agents and everything else …")
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&f.broker, "broker", loopbackPort, "address of the broker (STOMP); port 0 takes a free one")
	cmd.Flags().StringVar(&f.monitor, "monitor", loopbackPort, "address of the monitor (REST)")
	cmd.Flags().StringVar(&f.mcp, "mcp", loopbackPort, "address of the MCP server (HTTP and SSE)")
	f.metrics.add(cmd)
	cmd.Flags().BoolVar(&f.insecure, "insecure-no-auth", false, "no tokens and no broker login: everybody on this host acts as you")
	return cmd
}

// up is a whole testbed in one process.
type up struct {
	app   *app
	f     upFlags
	log   *slog.Logger
	place *place
	paths config.Paths
	parts *parts
	watch *telemetry
	pages Pages
	hands hands // what the pages' buttons do
}

func (a *app) newUp(f upFlags) *up {
	log := a.daemonLog()
	if f.quiet && !a.verbose {
		log = a.log()
	}
	return &up{app: a, f: f, log: log}
}

// during brings everything up, calls f, and takes everything down again: the
// agents first, so that the last they say is still heard.
func (u *up) during(ctx context.Context, f func(context.Context, *config.Endpoints) error) (err error) {
	lock, err := u.prepare()
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if u.watch, err = (&place{app: u.app, paths: u.paths}).telemetry("testbed", u.f.metrics, listenFlags{}, u.log); err != nil {
		return err
	}
	defer u.watch.close()
	u.parts = newParts(ctx)
	defer func() { err = errors.Join(err, u.parts.end()) }()
	e, err := u.serve()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, config.RemoveEndpoints(u.paths.Dir)) }()
	defer u.stopAgents()
	// The first part that fails ends the whole.
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(u.parts.failed, func() { cancel(context.Cause(u.parts.failed)) })
	defer stop()
	return f(inner, e)
}

// prepare makes the folder and makes sure that it is ours alone.
func (u *up) prepare() (*manager.Lock, error) {
	dir, err := filepath.Abs(u.f.dir)
	if err != nil {
		return nil, err
	}
	u.paths = config.UpPaths(dir)
	said := *u.app
	if u.f.quiet {
		said.err = discard{}
	}
	if err := said.initFolder(dir, &u.paths); err != nil {
		return nil, err
	}
	lock, err := manager.TryLock(filepath.Join(u.paths.State, "up.lock"))
	if held := new(manager.HeldError); errors.As(err, &held) {
		return nil, swf.E(swf.CodeManagerRunning, fmt.Sprintf("testbed up runs already for %s: %s", dir, held.Holder), "use that one, or name another folder with --dir").Because(err)
	}
	return lock, err
}

// serve starts the parts in the order in which they need each other.
func (u *up) serve() (*config.Endpoints, error) {
	secrets, err := u.secrets()
	if err != nil {
		return nil, err
	}
	e := secrets
	brokerLn, err := web.Listen(u.f.broker)
	if err != nil {
		return nil, err
	}
	b := broker.New(broker.Options{Login: e.BrokerLogin, Passcode: e.BrokerPasscode.Reveal(), Log: u.log})
	u.parts.Run("broker", func(ctx context.Context) error { return b.Serve(ctx, brokerLn) })
	e.Broker = brokerLn.Addr().String()
	listen := listenFlags{addr: u.f.monitor}
	m := MonitorOptions{
		Path: filepath.Join(u.paths.State, "monitor.db"), Token: e.MonitorToken, Users: (&place{paths: u.paths}).tokens(u.log).Lookup(config.ForMonitor), ClosedLogs: !listen.onlyThisHost(),
		Broker: amq.Options{Addr: e.Broker, Login: e.BrokerLogin, Passcode: e.BrokerPasscode.Reveal(), Log: u.log}, Log: u.log,
	}
	u.letIn(&m)
	if e.Monitor, u.pages, err = u.app.startMonitor(u.parts, m, listen, u.watch); err != nil {
		return nil, err
	}
	mcpLn, err := web.Listen(u.f.mcp)
	if err != nil {
		return nil, err
	}
	e.MCP = "http://" + mcpLn.Addr().String() + "/mcp"
	if err := config.WriteEndpoints(u.paths.Dir, *e); err != nil {
		mcpLn.Close()
		return nil, err
	}
	// From here on the environment of the folder names these endpoints.
	u.place, err = u.app.at(u.paths.Dir, func(p *place) { p.paths, p.fresh, p.agents, p.watched = u.paths, true, true, u.watch })
	if err == nil {
		err = u.serveMCP(mcpLn, e.Token)
	}
	if err == nil {
		err = u.serveManager()
	}
	return e, err
}

// secrets are made at the first start and kept, so that a client's
// configuration stays valid.
func (u *up) secrets() (*config.Endpoints, error) {
	e := &config.Endpoints{}
	if u.f.insecure {
		u.log.Warn("INSECURE: everybody on this host can use broker, monitor and MCP server as you")
		return e, nil
	}
	var err error
	e.BrokerLogin = u.username()
	for name, s := range map[string]*swf.Secret{"broker.passcode": &e.BrokerPasscode, "monitor.token": &e.MonitorToken} {
		if *s, err = secretFile(filepath.Join(u.paths.Config, name)); err != nil {
			return nil, err
		}
	}
	mine := &place{app: u.app, paths: u.paths, username: u.username()}
	e.Token, err = mine.ownToken(mine.tokens(u.log))
	return e, err
}

func (u *up) username() string {
	name, err := u.app.username()
	if err != nil {
		return "testbed"
	}
	return name
}

func (u *up) serveMCP(ln net.Listener, token swf.Secret) error {
	m, err := u.place.newMCP(offerFlags{}, u.log)
	if err != nil {
		return err
	}
	u.hands.use(m.tools, u.place.configs)
	var lookup func(string) (swf.Principal, bool)
	if token != "" {
		lookup = u.place.tokens(u.log).Lookup(config.ForMCP)
	}
	key, err := u.place.sessionKey()
	if err != nil {
		m.close()
		return err
	}
	h := m.http(lookup, u.place.username, key)
	u.parts.Run("MCP server", func(ctx context.Context) error {
		defer m.close()
		return (&web.Server{Listener: ln, Handler: web.Measured(h, "mcp", u.watch.metrics()), Log: u.log, BeforeShutdown: h.Close}).Run(ctx)
	})
	return nil
}

// serveManager runs the agent manager, anew after each restart command, and
// returns when it takes commands.
func (u *up) serveManager() error {
	ready := make(chan struct{}, 1)
	u.parts.Run("agent manager", func(ctx context.Context) error {
		for {
			settings, err := config.LoadManagerSettings(u.paths.ManagerSettings())
			if err != nil {
				return err
			}
			o, err := u.place.managerOptions(settings, u.log)
			if err != nil {
				return err
			}
			o.Ready = func() {
				select {
				case ready <- struct{}{}:
				default:
				}
			}
			if err := manager.New(o).Run(ctx); !errors.Is(err, manager.ErrRestart) {
				return err
			}
		}
	})
	select {
	case <-ready:
		return nil
	case <-u.parts.failed.Done():
		return context.Cause(u.parts.failed)
	}
}

// stopAgents has the manager stop the testbed. It is the last command.
func (u *up) stopAgents() {
	if u.place == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	r, err := u.place.do(ctx, u.place.command(control.StopTestbed))
	if err == nil {
		err = outcome(r)
	}
	if err != nil {
		report(u.app.err, fmt.Errorf("the agents could not be stopped: %w", err), u.app.ink(u.app.err))
	}
}

// announce prints what a person needs to go on.
func (u *up) announce(e *config.Endpoints) {
	server, err := sibling("swf-mcp")
	if err != nil {
		server = "swf-mcp"
	}
	clients := map[string]any{"mcpServers": map[string]any{
		"testbed-control": map[string]any{"command": server, "args": []string{"stdio", "--dir", u.paths.Dir}},
	}}
	text, _ := json.MarshalIndent(clients, "", "  ")
	w := u.app.out
	fmt.Fprintf(w, "testbed of %s is up in %s\n", u.place.username, u.paths.Dir)
	fmt.Fprintf(w, "  pages    %s%s (good once, for ten minutes; later %s and the token of MCP)\n", e.Monitor, u.pages.Link(swf.Principal{Name: u.place.username}), e.Monitor)
	fmt.Fprintf(w, "  broker   %s (STOMP)\n  monitor  %s\n  MCP      %s (SSE: /sse), token in %s\n", e.Broker, e.Monitor, e.MCP, filepath.Join(u.paths.Config, "mcp.token"))
	fmt.Fprintf(w, "\nFor an MCP client (.mcp.json):\n%s\n\nIn another terminal, in that folder: testbed run, testbed status, testbed stop-agents. Ctrl-C here ends everything.\n", text)
}

// discard is for what a quiet command does not say.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
