package cli

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/dashboard"
	"github.com/epic-swf/testbed/monitor/recorder"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

// envDatabase names the database of testbed monitor. It may hold a password,
// so it is no flag: arguments can be read by everybody on the host.
const envDatabase = "SWF_MONITOR_DATABASE"

// monitorFlags are those of testbed monitor.
type monitorFlags struct {
	listen   listenFlags
	metrics  metricsFlag
	keep     string
	insecure bool
}

func (a *app) monitorCommand() *cobra.Command {
	var f monitorFlags
	cmd := &cobra.Command{
		Use:   "monitor",
		Short: "Run the monitor by itself: what happened, as REST and as a stream",
		Long: `Monitor keeps what agents tell it and what it hears on the bus, in SQLite in the state folder or in the PostgreSQL
database that ` + envDatabase + ` names (a URL). The token in SWF_API_TOKEN, else one that the first start makes in the
configuration folder, writes everything: it is yours, or that of a system whose agents share one. A user's own token
(testbed token add USERNAME --for monitor) writes what is that user's. A name under which others reach it belongs into
allowed_hosts in server.toml. testbed up has a monitor of its own.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.monitor(cmd.Context(), f) },
	}
	f.listen.add(cmd)
	f.metrics.add(cmd)
	cmd.Flags().StringVar(&f.keep, "keep", "", "how long to keep messages, logs and ended executions, for example 30d; default: for ever")
	cmd.Flags().BoolVar(&f.insecure, "insecure-no-auth", false, "ask for no token: everybody on this host may write")
	return cmd
}

func (a *app) monitor(ctx context.Context, f monitorFlags) error {
	p, err := a.findServer()
	if err != nil {
		return err
	}
	if err := p.paths.Make(); err != nil {
		return err
	}
	log := a.daemonLog()
	m := monitorPart{log: log, listen: f.listen, users: p.tokens(log).Lookup(config.ForMonitor), store: store.Options{Log: log, DSN: swf.Secret(a.getenv(envDatabase))}}
	if m.store.DSN == "" {
		m.store.Path = filepath.Join(p.paths.State, "monitor.db")
	}
	if m.store.Keep, err = keepTime(f.keep); err != nil {
		return err
	}
	settings, err := config.LoadServerSettings(p.paths.ServerSettings())
	if err != nil {
		return err
	}
	m.names = web.GuardOptions{Hosts: settings.AllowedHosts, Origins: settings.AllowedOrigins}
	token := filepath.Join(p.paths.Config, "monitor.token")
	if m.token = swf.Secret(a.getenv("SWF_API_TOKEN")); m.token != "" {
		token = "SWF_API_TOKEN"
	} else if m.token, err = secretFile(token); err != nil {
		return err
	}
	if f.insecure {
		m.token, token = "", "none: everybody on this host may write"
	}
	if m.broker, err = p.broker(log); err != nil {
		return err
	}
	if m.pages.Anonymous = (swf.Principal{Name: p.username, ReadOnly: true}); !f.insecure {
		m.pages.Lookup = eitherToken(p.tokens(log).Lookup(config.ForMCP), oneToken(m.token, m.pages.Anonymous))
	}
	if m.watched, err = p.telemetry("monitor", f.metrics, f.listen, log); err != nil {
		return err
	}
	defer m.watched.close()
	parts := newParts(ctx)
	url, pages, err := m.start(parts)
	if err == nil {
		fmt.Fprintf(a.out, "monitor: %s\ntoken: %s\npages: %s%s\n", url, token, url, pages.Link(m.pages.Anonymous))
		select {
		case <-ctx.Done():
		case <-parts.failed.Done():
		}
	}
	if ended := parts.end(); err == nil {
		err = ended
	}
	return err
}

// keepTime reads --keep.
func keepTime(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	return days("--keep", text)
}

// days reads a number of days ("30d") or what Go calls a duration.
func days(flag, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < time.Hour || d > 100*365*24*time.Hour {
		return 0, usageError{swf.E(swf.CodeInvalidArgument, fmt.Sprintf("%s %q is no time of at least an hour", flag, text), fmt.Sprintf("say for example %s 30d or %s 12h", flag, flag))}
	}
	return d, nil
}

// monitorPart is a monitor with all that belongs to it: the store, the REST
// interface, the stream, and the recorder that listens to the bus.
type monitorPart struct {
	store  store.Options
	listen listenFlags
	token  swf.Secret // opens everything; "": nobody is asked for a token
	users  func(token string) (swf.Principal, bool)
	broker amq.Options
	names  web.GuardOptions  // of this server, beyond its addresses
	pages  dashboard.Options // Store, Feed and Log are filled in
	log    *slog.Logger

	watched *telemetry // nil: nobody watches
}

// start runs it among the parts and returns its URL and its pages.
func (m monitorPart) start(p *parts) (url string, pages *dashboard.Dashboard, err error) {
	opened, err := store.Open(p.ctx, m.store)
	if err != nil {
		return "", nil, err
	}
	p.last(opened.Close)
	feed := new(dashboard.Feed)
	s := feed.Watch(opened)
	p.run("monitor sweep", func(ctx context.Context) error { return ignoreCancel(s.Run(ctx)) })
	hub := api.NewHub()
	bus := amq.New(m.broker)
	p.run("monitor bus", func(ctx context.Context) error { return ignoreCancel(bus.Run(ctx)) })
	heard := recorder.New(recorder.Options{Bus: bus, Store: s, Heard: hub.Publish, Log: m.log})
	p.run("recorder", func(ctx context.Context) error { return ignoreCancel(heard.Run(ctx)) })
	m.watched.link(bus, "monitor")
	m.watched.expose(append(heard.Collectors(), api.Collectors(s, hub, nil)...)...)
	ln, url, err := m.listen.open(m.token != "", m.log)
	if err != nil {
		return "", nil, err
	}
	o := api.Options{Store: s, Token: m.token, Hub: hub, Log: m.log}
	if m.token != "" {
		o.Lookup, o.ClosedLogs = m.users, !m.listen.onlyThisHost()
	}
	m.pages.Store, m.pages.Feed, m.pages.Log = s, feed, m.log
	pages = dashboard.New(m.pages)
	h := web.Guard(beside(api.New(o), pages), m.names)
	p.run("monitor", (&web.Server{Listener: ln, Handler: web.Measured(h, "monitor", m.watched.metrics()), Log: m.log, BeforeShutdown: func() {
		hub.Close()
		feed.Close()
	}}).Run)
	return url, pages, nil
}
