package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// demoPatience bounds the demo, beside the time that simulated workers take in
// real time; it takes about half a minute then.
const demoPatience = 2 * time.Minute

type demoFlags struct {
	virtual  bool
	keep     bool
	stfs     int
	workflow string
}

func (a *app) demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show it all: an MCP client starts agents, runs a workflow and stops everything",
		Long: `Demo makes a testbed in a fresh folder, brings up broker, monitor and agent manager, connects a real MCP client
over stdio to swf-mcp, and prints what is said between them. Nothing is left behind but that folder, and not even
that unless --keep or --dir asks for it or something goes wrong.

With --workflow fast_processing all agents take part: the data agent announces each STF, fastmon samples it, fast
processing cuts the samples into slices, and simulated workers process them. What the monitor then has is counted and
held against what the parameters imply.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.workflow != "" && !cmd.Flags().Changed("stf-count") {
				f.stfs = pipelineSTFs
			}
			return a.demo(cmd.Context(), f)
		},
	}
	cmd.Flags().BoolVar(&f.virtual, "virtual-time", false, "let the simulated time run as fast as it can")
	cmd.Flags().BoolVar(&f.keep, "keep", false, "keep the folder")
	cmd.Flags().IntVar(&f.stfs, "stf-count", 3, "super time frames in the run")
	cmd.Flags().StringVar(&f.workflow, "workflow", "", "the configuration to run with all its agents, for example fast_processing (default: that of testbed.toml, with the data agent alone)")
	return cmd
}

func (a *app) demo(ctx context.Context, f demoFlags) (err error) {
	if err := needLinux("testbed demo"); err != nil {
		return err
	}
	ctx, stop := a.whileFollowed(ctx)
	defer stop()
	d := &demonstration{out: a.out, stfs: f.stfs, realtime: !f.virtual, config: f.workflow}
	if d.config == "" {
		d.config = "testbed.toml"
	}
	dir := a.dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "testbed-demo-"); err != nil {
			return err
		}
		defer func() {
			if err == nil && !f.keep {
				err = os.RemoveAll(dir)
			} else {
				fmt.Fprintln(a.out, "\nThe folder is kept:", dir)
			}
		}()
	}
	fmt.Fprintf(a.out, "Everything of this demo is in %s\n\n", dir)

	up := a.newUp(upFlags{dir: dir, broker: loopbackPort, monitor: loopbackPort, mcp: loopbackPort, quiet: true})
	return up.during(ctx, func(ctx context.Context, e *config.Endpoints) error {
		if f.workflow != "" {
			if err := d.imply(ctx, up.place.sources()); err != nil {
				return err
			}
			d.monitor = monitor.New(monitor.Options{URL: e.Monitor, Token: e.MonitorToken})
			defer d.monitor.Close()
		}
		ctx, cancel := context.WithTimeout(ctx, demoPatience+d.workersTime())
		defer cancel()
		return d.run(ctx, dir)
	})
}

// demonstration is one MCP client and what it says.
type demonstration struct {
	out      io.Writer
	stfs     int
	realtime bool
	config   string // of the start
	client   *client.Client

	pipeline // with a workflow of one's choice
}

func (d *demonstration) run(ctx context.Context, dir string) error {
	server, err := sibling("swf-mcp")
	if err != nil {
		return err
	}
	d.client, err = client.NewStdioMCPClient(server, nil, "stdio", "--dir", dir)
	if err != nil {
		return fmt.Errorf("start %s: %w", server, err)
	}
	defer d.client.Close()
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
	hello.Params.ClientInfo = mcp.Implementation{Name: "testbed-demo", Version: swf.Version}
	got, err := d.client.Initialize(ctx, hello)
	if err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	fmt.Fprintf(d.out, "MCP client connected over stdio to %s %s\n", got.ServerInfo.Name, got.ServerInfo.Version)
	if _, err := d.call(ctx, "check_agent_manager", map[string]any{}); err != nil {
		return err
	}
	if _, err := d.call(ctx, "start_user_testbed", map[string]any{"config_name": d.config}); err != nil {
		return err
	}
	began, err := d.call(ctx, "start_workflow", map[string]any{"stf_count": d.stfs, "realtime": d.realtime})
	if err != nil {
		return err
	}
	if err := d.watch(ctx, began); err != nil {
		return err
	}
	if d.monitor != nil {
		if err := d.count(ctx, began); err != nil {
			return err
		}
	}
	if _, err := d.call(ctx, "stop_user_testbed", map[string]any{}); err != nil {
		return err
	}
	_, err = d.call(ctx, "get_testbed_status", map[string]any{})
	return err
}

// call calls a tool, prints both sides, and fails when the tool did.
func (d *demonstration) call(ctx context.Context, tool string, args map[string]any) (map[string]any, error) {
	answer, text, err := d.ask(ctx, tool, args)
	fmt.Fprintf(d.out, "\n> %s %s\n", tool, compact(args))
	if text != "" {
		fmt.Fprintln(d.out, indent(text))
	}
	return answer, err
}

// ask calls a tool and says nothing.
func (d *demonstration) ask(ctx context.Context, tool string, args map[string]any) (answer map[string]any, text string, err error) {
	var req mcp.CallToolRequest
	req.Params.Name, req.Params.Arguments = tool, args
	res, err := d.client.CallTool(ctx, req)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", tool, err)
	}
	for _, c := range res.Content {
		if t, ok := c.(mcp.TextContent); ok {
			text += t.Text
		}
	}
	answer, _ = res.StructuredContent.(map[string]any)
	if res.IsError {
		err = fmt.Errorf("%s did not succeed", tool)
	}
	return answer, strings.TrimRight(text, "\n"), err
}

// watch asks for the status as an assistant would, until the execution ends,
// and shows the first answer and those that bring news.
func (d *demonstration) watch(ctx context.Context, began map[string]any) error {
	args := map[string]any{"command_id": began["command_id"]}
	start, last := time.Now(), ""
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, text, err := d.ask(ctx, "get_testbed_status", args)
		if err != nil {
			return err
		}
		if status := executionStatus(answer); status != last {
			last = status
			fmt.Fprintf(d.out, "\n> get_testbed_status %s   (%.1f s later)\n%s\n", compact(args), time.Since(start).Seconds(), indent(text))
		}
		switch last {
		case swf.ExecutionCompleted:
			return nil
		case swf.ExecutionFailed, swf.ExecutionTerminated, swf.ExecutionLost:
			return fmt.Errorf("execution %v ended as %s", began["execution_id"], last)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("execution %v did not complete", began["execution_id"]), context.Cause(ctx))
		}
	}
}

// executionStatus digs command.execution.status out of an answer.
func executionStatus(answer map[string]any) string {
	command, _ := answer["command"].(map[string]any)
	execution, _ := command["execution"].(map[string]any)
	status, _ := execution["status"].(string)
	return status
}

// sibling finds a program of ours: beside this one, else on PATH.
func sibling(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	beside := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(beside); err == nil {
		return beside, nil
	}
	return lookPath(name)
}
