package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/audit"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/mcpserver"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
	"github.com/epic-swf/testbed/web"
)

func (a *app) stdioCommand() *cobra.Command {
	var f offerFlags
	cmd := &cobra.Command{
		Use:   "stdio",
		Short: "Serve one client over standard input and output, as the operating-system user",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.findServer()
			if err != nil {
				return err
			}
			log := a.log()
			if p.watched, err = p.telemetry("swf-mcp", metricsFlag{}, listenFlags{}, log); err != nil {
				return err
			}
			defer p.watched.close()
			s, err := p.newMCP(f, log)
			if err != nil {
				return err
			}
			defer s.close()
			return s.server.ServeStdio(cmd.Context(), a.in, a.out, swf.Principal{Name: p.username})
		},
	}
	f.add(cmd)
	return cmd
}

// offerFlags say what an MCP server offers of what there is.
type offerFlags struct {
	prefix   string
	toolsets []string
	readOnly bool
}

func (f *offerFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.prefix, "tool-prefix", "", "put before every tool's name, for example swf_")
	cmd.Flags().StringSliceVar(&f.toolsets, "toolsets", tools.Toolsets(), "which tools to offer: control drives a testbed, monitor tells how it went")
	cmd.Flags().BoolVar(&f.readOnly, "read-only", false, "offer nothing that starts or stops anything")
}

// serveFlags are those of swf-mcp serve.
type serveFlags struct {
	offer    offerFlags
	listen   listenFlags
	metrics  metricsFlag
	insecure bool
}

func (a *app) serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve many clients over streamable HTTP (/mcp) and SSE (/sse)",
		Long: `Serve listens on loopback, unless told otherwise. Clients bring a bearer token, made with testbed token add; where there
is none at all, the first start makes one for you. With [oauth] in server.toml the access tokens of that authorization
server are good too.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), f) },
	}
	f.listen.add(cmd)
	f.metrics.add(cmd)
	f.offer.add(cmd)
	cmd.Flags().BoolVar(&f.insecure, "insecure-no-auth", false, "ask for no token: everybody on this host acts as you")
	return cmd
}

// loopbackPort is a free port on this host alone.
const loopbackPort = "127.0.0.1:0"

func (a *app) serve(ctx context.Context, f serveFlags) error {
	p, err := a.findServer()
	if err != nil {
		return err
	}
	log := a.daemonLog()
	if p.watched, err = p.telemetry("swf-mcp", f.metrics, f.listen, log); err != nil {
		return err
	}
	defer p.watched.close()
	s, err := p.newMCP(f.offer, log)
	if err != nil {
		return err
	}
	defer s.close()
	ln, url, err := f.listen.open(!f.insecure, log)
	if err != nil {
		return err
	}
	lookup, where, err := p.authentication(s.settings, f.insecure, log)
	if err != nil {
		ln.Close()
		return err
	}
	key, err := p.sessionKey()
	if err != nil {
		ln.Close()
		return err
	}
	fmt.Fprintf(a.out, "MCP over HTTP: %s/mcp (SSE: /sse)\ntoken: %s\n", url, where)
	h := s.http(lookup, p.username, key)
	return (&web.Server{Listener: ln, Handler: web.Measured(h, "mcp", p.watched.metrics()), Log: log, BeforeShutdown: h.Close}).Run(ctx)
}

// findServer is find for a server, which may stand outside of any testbed
// folder: it then serves other hosts' managers.
func (a *app) findServer() (*place, error) {
	p, err := a.find()
	if err == nil || a.dir != "" || !swf.IsCode(err, swf.CodeEnvironment) {
		return p, err
	}
	cwd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	return a.at(cwd, nil)
}

// mcpParts is an MCP server with what stands behind it.
type mcpParts struct {
	server   *mcpserver.Server
	tools    *tools.Set
	settings config.ServerSettings
	client   *control.Client
	bus      *lazyBus
	log      *slog.Logger
	trail    *audit.Trail
}

func (p *place) newMCP(f offerFlags, log *slog.Logger) (*mcpParts, error) {
	s, err := p.newTools("mcp", func(c *control.Client) tools.Commander { return c }, log)
	if err != nil {
		return nil, err
	}
	if f.prefix == "" {
		f.prefix = s.settings.ToolPrefix
	}
	s.server, err = mcpserver.New(mcpserver.Options{
		Tools: s.tools.Tools(), Resources: s.tools.Resources(), Prompts: s.tools.Prompts(), Complete: s.tools.Complete, NoTool: s.tools.NoTool,
		ToolPrefix: f.prefix, Toolsets: f.toolsets, ReadOnly: f.readOnly, Log: log, Tracer: p.watched.tracer(),
	})
	p.watched.link(s.bus.Conn, "mcp")
	return s, err
}

// newTools makes the tools and what stands behind them, for the part of that
// name; commander says how it reaches managers.
func (p *place) newTools(part string, commander func(*control.Client) tools.Commander, log *slog.Logger) (*mcpParts, error) {
	s := &mcpParts{log: log}
	var err error
	if s.settings, err = config.LoadServerSettings(p.paths.ServerSettings()); err != nil {
		return nil, err
	}
	broker, err := p.broker(log)
	if err != nil {
		return nil, err
	}
	client, err := p.monitor()
	if err != nil {
		return nil, err
	}
	queue := func(username string) string {
		q, err := s.settings.Queue(username, p.env.Get)
		if err != nil {
			log.Error("control queue", "err", err)
			return swf.ControlQueue(username)
		}
		return q
	}
	if _, err := s.settings.Queue(p.username, p.env.Get); err != nil {
		return nil, err
	}
	s.bus = &lazyBus{Conn: amq.New(broker)}
	s.client = control.NewClient(control.ClientOptions{Bus: s.bus, Keys: p.keyring(s.settings, log), Login: broker.Login, Queue: queue, Source: part, Log: log})
	o := tools.Options{Commander: commander(s.client), Configs: p.configs, Log: log, Audit: p.trail(part, log), Queue: queue, Limits: tools.Limits{PerSecond: s.settings.Limits.CallsPerSecond, Burst: s.settings.Limits.Burst, AtOnce: s.settings.Limits.Concurrent}}
	if client != nil {
		o.Monitor = client
	}
	o.Metrics = p.watched.metrics()
	s.tools = tools.New(o)
	return s, nil
}

// configs are the names of the configurations that a user's testbed can be
// started with, as far as they are known here: what the own folder has is
// nobody else's.
func (p *place) configs(username string) []string {
	sources := p.sources()
	if username != p.username {
		sources.Dir = ""
	}
	return config.ListConfigs(sources)
}

func (s *mcpParts) close() {
	s.client.Close()
	s.bus.close()
}

// refused writes what HTTP refused, before any tool was asked, into the trail.
func (s *mcpParts) refused(r web.Refusal) {
	s.trail.Add(audit.Record{Who: r.Who, From: &audit.Origin{Transport: "http", Address: r.Address}, Action: r.Method + " " + r.Path,
		Decision: audit.Refused, Code: strconv.Itoa(r.Status), Reason: http.StatusText(r.Status), Count: r.More})
}

func (s *mcpParts) http(lookup func(string) (swf.Principal, bool), username string, key swf.Secret) *mcpserver.HTTP {
	limits := s.settings.Limits
	o := mcpserver.HTTPOptions{
		SessionKey: []byte(key.Reveal()), Lookup: lookup, Anonymous: swf.Principal{Name: username},
		Hosts: s.settings.AllowedHosts, Origins: s.settings.AllowedOrigins,
		Refused: s.refused,
		Calls:   mcpserver.CallLimits{PerSecond: limits.CallsPerSecond, Burst: limits.Burst, AtOnce: limits.Concurrent},
	}
	if a := s.settings.OAuth; a.Issuer != "" && lookup != nil {
		o.OAuth = web.NewOAuth(web.OAuthOptions{Issuer: a.Issuer, Resource: a.Resource, JWKS: a.JWKS, UsernameClaim: a.UsernameClaim,
			Algorithms: a.Algorithms, Operators: a.Operators, Log: s.log})
	}
	return s.server.HTTP(o)
}

// keyring gives each user's control keys: this user's own from where init put
// them, and those of the keyring folder. They are read for each command, so that
// one that was enrolled or rotated counts at once. A file that is there but
// cannot be used is told, and nothing is sent unsigned in its place.
func (p *place) keyring(settings config.ServerSettings, log *slog.Logger) func(string) control.Ring {
	return func(username string) control.Ring {
		var paths []string
		var ring control.Ring
		if username == p.username {
			paths = append(paths, p.paths.ControlKey())
		}
		if settings.Keyring != "" {
			paths = append(paths, filepath.Join(settings.Keyring, username+".key"))
		}
		for _, path := range paths {
			r, err := control.ReadRing(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				log.Error("control keys", "username", username, "err", err, "hint", swf.AsError(err).Hint)
				return control.NewKey().Ring()
			}
			ring = ring.Join(r)
		}
		return ring
	}
}

// authentication gives what knows the bearer tokens, and says where they are.
func (p *place) authentication(settings config.ServerSettings, insecure bool, log *slog.Logger) (lookup func(string) (swf.Principal, bool), where string, err error) {
	if insecure {
		return nil, "none: everybody on this host acts as " + p.username, nil
	}
	if err := p.paths.Make(); err != nil {
		return nil, "", err
	}
	tokens := p.tokens(log)
	list, err := tokens.List()
	if err != nil {
		return nil, "", err
	}
	where = "those of " + tokens.Path() + ", see testbed token"
	if settings.OAuth.Issuer != "" {
		return tokens.Lookup(config.ForMCP), where + ", and those of " + settings.OAuth.Issuer, nil
	}
	if !slices.ContainsFunc(list, func(t config.Token) bool { return t.For == config.ForMCP }) {
		if _, err := p.ownToken(tokens); err != nil {
			return nil, "", err
		}
		where = "in " + filepath.Join(p.paths.Config, "mcp.token")
	}
	return tokens.Lookup(config.ForMCP), where, nil
}

// sessionKey signs session ids. It is in a file of the configuration, which the
// replicas behind one balancer have in common, so that each knows the sessions
// that another began (design, 4c.11); and sessions outlive a restart.
func (p *place) sessionKey() (swf.Secret, error) {
	if err := p.paths.Make(); err != nil {
		return "", err
	}
	return secretFile(filepath.Join(p.paths.Config, "session.key"))
}

// secretFile reads a secret of ours, or makes it at its first use. Of several
// processes that make it at once, all get that of the first.
func secretFile(path string) (swf.Secret, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeSecret(path); err == nil || errors.Is(err, fs.ErrExist) {
			b, err = os.ReadFile(path)
		}
	}
	return swf.Secret(strings.TrimSpace(string(b))), err
}

// makeSecret puts a whole file there or none.
func makeSecret(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	random := make([]byte, 32)
	_, _ = rand.Read(random)
	_, err = fmt.Fprintln(f, hex.EncodeToString(random))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}

// lazyBus connects at the first use: clients start servers only to look at
// their tools, and that must not touch the broker.
type lazyBus struct {
	*amq.Conn
	once sync.Once
	end  context.CancelFunc
	done chan struct{}
}

func (l *lazyBus) start() {
	l.once.Do(func() {
		ctx, end := context.WithCancel(context.Background())
		l.end, l.done = end, make(chan struct{})
		go func() {
			defer close(l.done)
			_ = l.Conn.Run(ctx)
		}()
	})
}

// Publish implements control.Bus.
func (l *lazyBus) Publish(ctx context.Context, m amq.Message) error {
	l.start()
	return l.Conn.Publish(ctx, m)
}

// Subscribe implements control.Bus.
func (l *lazyBus) Subscribe(destination string, o amq.SubscribeOptions, h func(context.Context, *amq.Delivery)) *amq.Subscription {
	l.start()
	return l.Conn.Subscribe(destination, o, h)
}

func (l *lazyBus) close() {
	l.once.Do(func() {})
	if l.end != nil {
		l.end()
		<-l.done
	}
}
