package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

func servicesCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, neg, a, 0, 0, "services")
	addr := realBroker(ts)
	if addr == "" {
		b, err := startBroker("127.0.0.1:0")
		ts.Check(err)
		ts.Defer(b.stop)
		addr = b.addr
	}
	m, err := startMonitor(store.Options{Path: filepath.Join(ts.Getenv("WORK"), "services.db")}, "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(m.stop)
	host, port, err := net.SplitHostPort(addr)
	ts.Check(err)
	ts.Setenv("ACTIVEMQ_HOST", host)
	ts.Setenv("ACTIVEMQ_PORT", port)
	ts.Setenv("SWF_MONITOR_URL", "http://"+m.addr)
}

// reached is how a script's testbed reaches broker and monitor: those of
// testbed up in the folder, else those of the environment.
func reached(ts *testscript.TestScript, dir string) (*config.Env, error) {
	env := []string{}
	for _, name := range []string{"ACTIVEMQ_HOST", "ACTIVEMQ_PORT", "ACTIVEMQ_USER", "ACTIVEMQ_PASSWORD", "SWF_MONITOR_URL"} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return config.LoadEnv(config.EnvOptions{Dir: dir, Inherited: env})
}

func scriptDir(ts *testscript.TestScript, a []string, i int) string {
	if len(a) > i {
		return ts.MkAbs(a[i])
	}
	return ts.MkAbs(".")
}

// heard is what the monitor has last heard of the manager.
func heard(ts *testscript.TestScript, dir string) (*swf.Agent, error) {
	env, err := reached(ts, dir)
	if err != nil {
		return nil, err
	}
	o, err := monitor.OptionsFromEnv(env.Get)
	if err != nil {
		return nil, err
	}
	m := monitor.New(o)
	defer m.Close()
	a, err := m.Agent(context.Background(), swf.ManagerInstance(ts.Getenv("ME")))
	if err == nil && a == nil {
		err = errors.New("the monitor has never heard of the manager")
	}
	return a, err
}

// readyCommand believes the monitor, which believes the manager only once a
// ping of its own came back through the control queue.
func readyCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, neg, a, 0, 1, "ready [DIR]")
	ts.Check(within(patience, func() error {
		m, err := heard(ts, scriptDir(ts, a, 0))
		if err == nil && m.Status != swf.StatusOK {
			err = fmt.Errorf("the monitor has heard of the manager: %+v", m)
		}
		return err
	}))
}

// beatsCommand asks for more heartbeats than would come by themselves.
func beatsCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, neg, a, 2, 2, "beats PID N")
	pid := scriptPID(ts, a[0])
	n, err := strconv.Atoi(a[1])
	ts.Check(err)
	seq := func() (number int) {
		m, err := heard(ts, scriptDir(ts, nil, 0))
		ts.Check(err)
		var told struct{ Seq int }
		ts.Check(json.Unmarshal(m.Metadata, &told))
		return told.Seq
	}
	for first, asked := seq(), 1; asked <= n; asked++ {
		ts.Check(syscall.Kill(pid, syscall.SIGUSR1))
		ts.Check(within(patience/time.Duration(n), func() error {
			if got := seq() - first; got < asked {
				return fmt.Errorf("%d heartbeats came, %d were asked for", got, asked)
			}
			return nil
		}))
	}
}

func listenCommand(ts *testscript.TestScript, neg bool, a []string) {
	args(ts, neg, a, 1, 2, "listen FILE [DIR]")
	env, err := reached(ts, scriptDir(ts, a, 1))
	ts.Check(err)
	o, err := amq.OptionsFromEnv(env.Get)
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(a[0]), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	bus := amq.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = bus.Run(ctx) })
	ts.Defer(func() { cancel(); wg.Wait(); f.Close() })
	sub := bus.Subscribe(swf.TopicWorkflow, amq.SubscribeOptions{AutoAck: true, Prefetch: 100}, func(_ context.Context, d *amq.Delivery) {
		_, _ = f.Write(append(d.Body, '\n'))
	})
	// The subscription must stand at the broker, not only be on its way there:
	// what is sent behind it on the same connection has come back then.
	<-sub.Ready()
	ts.Check(within(patience, func() error {
		if err := bus.Publish(ctx, amq.Message{Destination: swf.TopicWorkflow, Body: []byte(`{"msg_type":"listening"}`)}); err != nil {
			return err
		}
		text, err := os.ReadFile(f.Name())
		if err == nil && !strings.Contains(string(text), "listening") {
			err = errors.New("not subscribed yet")
		}
		return err
	}))
}

// mcpCommand is one MCP client that makes one call, over stdio by default.
func mcpCommand(ts *testscript.TestScript, neg bool, a []string) {
	via := "-stdio"
	if len(a) > 0 && strings.HasPrefix(a[0], "-") {
		via, a = a[0], a[1:]
	}
	args(ts, false, a, 1, 2, "mcp [-http|-sse] TOOL [ARGUMENTS]")
	c, err := scriptClient(ts, via)
	ts.Check(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if via != "-stdio" { // that one has started
		ts.Check(c.Start(ctx))
	}
	_, err = c.Initialize(ctx, hello())
	ts.Check(err)
	arguments := "{}"
	if len(a) == 2 {
		arguments = a[1]
	}
	answer, failed, err := callTool(ctx, c, a[0], arguments)
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), shown(answer))
	ts.Check(os.WriteFile(ts.MkAbs("answer.json"), []byte(shown(answer)), 0o600))
	if failed != neg {
		ts.Fatalf("%s: isError is %t: %s", a[0], failed, shown(answer))
	}
}

func scriptClient(ts *testscript.TestScript, via string) (*client.Client, error) {
	dir := scriptDir(ts, nil, 0)
	if via == "-stdio" {
		start := func(ctx context.Context, command string, _, args []string) (*exec.Cmd, error) {
			cmd := exec.CommandContext(ctx, command, args...)
			cmd.Dir = dir
			for _, name := range []string{mark, "GORACE", "PATH", "HOME", "USER", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "ACTIVEMQ_HOST", "ACTIVEMQ_PORT", "SWF_MONITOR_URL"} {
				if v := ts.Getenv(name); v != "" {
					cmd.Env = append(cmd.Env, name+"="+v)
				}
			}
			return cmd, nil
		}
		return client.NewStdioMCPClientWithOptions(ours("swf-mcp"), nil, []string{"stdio"}, transport.WithCommandFunc(start))
	}
	e, err := config.ReadEndpoints(dir)
	if err != nil || e == nil {
		return nil, fmt.Errorf("no endpoints in %s: %w", dir, err)
	}
	headers := map[string]string{"Authorization": "Bearer " + e.Token.Reveal()}
	if via == "-sse" {
		return client.NewSSEMCPClient(strings.TrimSuffix(e.MCP, "/mcp")+"/sse", client.WithHeaders(headers))
	}
	return client.NewStreamableHttpClient(e.MCP, transport.WithHTTPHeaders(headers))
}

// hello is the first thing that an MCP client says.
func hello() (h mcp.InitializeRequest) {
	h.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
	h.Params.ClientInfo = mcp.Implementation{Name: "e2e", Version: "1"}
	return h
}
