package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/config"
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
	o := MonitorOptions{DSN: swf.Secret(a.getenv(envDatabase)), Users: p.tokens(log).Lookup(config.ForMonitor), ClosedLogs: !f.listen.onlyThisHost(), MaxConns: siteConns, Log: log}
	if o.DSN == "" {
		o.Path = filepath.Join(p.paths.State, "monitor.db")
	}
	if o.Keep, err = keepTime(f.keep); err != nil {
		return err
	}
	settings, err := config.LoadServerSettings(p.paths.ServerSettings())
	if err != nil {
		return err
	}
	o.Names = web.GuardOptions{Hosts: settings.AllowedHosts, Origins: settings.AllowedOrigins}
	token := filepath.Join(p.paths.Config, "monitor.token")
	if o.Token = swf.Secret(a.getenv("SWF_API_TOKEN")); o.Token != "" {
		token = "SWF_API_TOKEN"
	} else if o.Token, err = secretFile(token); err != nil {
		return err
	}
	if f.insecure {
		o.Token, token = "", "none: everybody on this host may write"
	}
	if o.Broker, err = p.broker(log); err != nil {
		return err
	}
	if o.Anonymous = (swf.Principal{Name: p.username, ReadOnly: true}); !f.insecure {
		o.Viewers = eitherToken(p.tokens(log).Lookup(config.ForMCP), oneToken(o.Token, o.Anonymous))
	}
	watched, err := p.telemetry("monitor", f.metrics, f.listen, log)
	if err != nil {
		return err
	}
	defer watched.close()
	return a.monitorUntil(ctx, o, f.listen, watched, token)
}

// siteConns are the connections of a site's monitor, to which thousands of
// managers may beat: about 20 kB each when all are taken.
const siteConns = 2048

// monitorUntil runs a monitor until ctx ends or a part of it fails.
func (a *app) monitorUntil(ctx context.Context, o MonitorOptions, listen listenFlags, watched *telemetry, token string) error {
	parts := newParts(ctx)
	url, pages, err := a.startMonitor(parts, o, listen, watched)
	if err == nil {
		fmt.Fprintf(a.out, "monitor: %s\ntoken: %s\npages: %s%s\n", url, token, url, pages.Link(o.Anonymous))
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

// startMonitor listens, and starts a monitor there among the parts.
func (a *app) startMonitor(p *parts, o MonitorOptions, listen listenFlags, watched *telemetry) (url string, pages Pages, err error) {
	o.Metrics, o.Expose = watched.metrics(), watched.expose
	if o.Listener, url, err = listen.open(o.Token != "", o.Log); err != nil {
		return "", nil, err
	}
	pages, err = a.linked.Monitor(p.ctx, p, o)
	return url, pages, err
}
