package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/mcpserver"
	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
	"github.com/epic-swf/testbed/web"
)

// part is one daemon of a testbed, running in this process.
type part struct {
	addr   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done is closed
}

// run starts a part.
func run(addr string, f func(context.Context) error) *part {
	ctx, cancel := context.WithCancel(context.Background())
	p := &part{addr: addr, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = f(ctx)
	}()
	return p
}

// stop ends the part and waits until nothing of it is left. It may be called
// again.
func (p *part) stop() {
	if p != nil {
		p.cancel()
		<-p.done
	}
}

func startBroker(addr string) (*part, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return run(ln.Addr().String(), func(ctx context.Context) error { return broker.New(broker.Options{}).Serve(ctx, ln) }), nil
}

func startMonitor(o store.Options, addr string) (*part, error) {
	ctx := context.Background()
	s, err := store.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	server := &web.Server{Listener: ln, Handler: api.New(api.Options{Store: s})}
	return run(ln.Addr().String(), func(ctx context.Context) error {
		sweep := run("", s.Run)
		defer sweep.stop()
		return errors.Join(server.Run(ctx), s.Close())
	}), nil
}

// startServer serves the tools over streamable HTTP to whoever connects, as
// that user.
func startServer(o tools.Options, username string) (*part, error) {
	o.Limits = tools.Limits{PerSecond: -1}
	s, err := mcpserver.New(mcpserver.Options{Tools: tools.New(o).Tools(), Version: "e2e"})
	if err != nil {
		return nil, err
	}
	ln, err := web.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := s.HTTP(mcpserver.HTTPOptions{Anonymous: swf.Principal{Name: username}, PerSecond: -1})
	return run(ln.Addr().String(), (&web.Server{Listener: ln, Handler: h, BeforeShutdown: h.Close}).Run), nil
}

// startManager returns once the manager takes commands, or has ended.
func startManager(o manager.Options) *part {
	ready := make(chan struct{})
	o.Ready = func() { close(ready) }
	p := run("", manager.New(o).Run)
	select {
	case <-ready:
	case <-p.done:
	}
	return p
}

// connect is an MCP client over streamable HTTP.
func connect(ctx context.Context, addr string) (*client.Client, error) {
	c, err := client.NewStreamableHttpClient("http://" + addr + "/mcp")
	if err != nil {
		return nil, err
	}
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	if _, err := c.Initialize(ctx, hello()); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// callTool returns the structured answer and whether it is an error.
func callTool(ctx context.Context, c *client.Client, tool, arguments string) (map[string]any, bool, error) {
	var req mcp.CallToolRequest
	req.Params.Name = tool
	if err := json.Unmarshal([]byte(arguments), &req.Params.Arguments); err != nil {
		return nil, false, err
	}
	res, err := c.CallTool(ctx, req)
	if err != nil {
		return nil, false, err
	}
	answer, ok := res.StructuredContent.(map[string]any)
	if !ok || len(res.Content) == 0 {
		return nil, res.IsError, errors.New("the answer lacks its structure or its text")
	}
	return answer, res.IsError, nil
}

// idle forgets the kept connections of clients that use the default transport.
func idle() { http.DefaultTransport.(*http.Transport).CloseIdleConnections() }
