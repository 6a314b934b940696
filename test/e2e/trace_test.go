package e2e

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// spans is a collector of traces: it takes OTLP over HTTP.
type spans struct {
	*httptest.Server

	mu  sync.Mutex
	all []span
}

// span is what a process told of one step.
type span struct{ process, name, trace, id, parent, command string }

func collectSpans(t *testing.T) *spans {
	s := new(spans)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req tracepb.TracesData // the request has the same form
		if err == nil {
			err = proto.Unmarshal(body, &req)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			http.Error(w, fmt.Sprint(r.URL.Path, err), http.StatusBadRequest)
			return
		}
		s.take(&req)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *spans) take(req *tracepb.TracesData) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range req.ResourceSpans {
		process := ""
		for _, a := range r.Resource.Attributes {
			if a.Key == "service.name" {
				process = a.Value.GetStringValue()
			}
		}
		for _, scope := range r.ScopeSpans {
			for _, one := range scope.Spans {
				x := span{process: process, name: one.Name, trace: hex.EncodeToString(one.TraceId), id: hex.EncodeToString(one.SpanId), parent: hex.EncodeToString(one.ParentSpanId)}
				for _, a := range one.Attributes {
					if a.Key == "swf.command_id" {
						x.command = a.Value.GetStringValue()
					}
				}
				s.all = append(s.all, x)
			}
		}
	}
}

// find returns the first span of that process and name in the trace.
func (s *spans) find(trace, process, name string) (span, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.all {
		if x.trace == trace && x.process == process && x.name == name {
			return x, nil
		}
	}
	return span{}, fmt.Errorf("no span %q of %s among %d", name, process, len(s.all))
}

// TestOneTraceFromToolToSupervisord: a client's trace goes on in the server, in
// the manager, which is another process, and down to supervisord.
func TestOneTraceFromToolToSupervisord(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"workflow-runner": sleeper})
	b.manager.stop()
	s := collectSpans(t)
	b.more = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + s.URL, "OTEL_BSP_SCHEDULE_DELAY=50"}
	d := b.startDaemon()

	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	answer := b.callOverStdio("start_user_testbed", map[string]any{"config_name": "plain"}, "00-"+trace+"-"+caller+"-01")
	if answer["outcome"] != "succeeded" {
		t.Fatal(shown(answer))
	}
	id, _ := answer["command_id"].(string)
	below := caller
	for _, step := range []struct{ process, name string }{
		{"swf-mcp", "tools/call start_user_testbed"}, {"swf-mcp", "ask start_testbed"},
		{"agent-manager", "accept start_testbed"}, {"agent-manager", "execute start_testbed"}, {"agent-manager", "supervisor.getAllProcessInfo"},
	} {
		var x span
		eventually(t, "the collector hears of "+step.name, func() (err error) {
			x, err = s.find(trace, step.process, step.name)
			return err
		})
		if x.parent != below {
			t.Errorf("%s is below %s, not %s", step.name, x.parent, below)
		}
		if below = x.id; step.process == "agent-manager" && strings.HasSuffix(step.name, "_testbed") && x.command != id {
			t.Errorf("%s is of command %q, not %q", step.name, x.command, id)
		}
	}
	for _, name := range []string{"journal accepted", "journal outcome"} {
		eventually(t, "the collector hears of "+name, func() error {
			_, err := s.find(trace, "agent-manager", name)
			return err
		})
	}
	if log := d.out.String(); !strings.Contains(log, "command_id="+id+" trace_id="+trace) {
		t.Errorf("the manager's log does not name command and trace:\n%s", log)
	}
	b.stop()
}

// callOverStdio has a server that is a process call a tool, as part of a trace.
func (b *bench) callOverStdio(tool string, arguments map[string]any, traceparent string) map[string]any {
	b.t.Helper()
	start := func(ctx context.Context, command string, _, args []string) (*exec.Cmd, error) {
		cmd := exec.CommandContext(ctx, command, args...)
		cmd.Env = b.environ(nil)
		return cmd, nil
	}
	c, err := client.NewStdioMCPClientWithOptions(ours("swf-mcp"), nil, []string{"stdio", "--dir", b.dir}, transport.WithCommandFunc(start))
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if _, err := c.Initialize(ctx, hello()); err != nil {
		b.t.Fatal(err)
	}
	var req mcp.CallToolRequest
	req.Params.Name, req.Params.Arguments = tool, arguments
	req.Params.Meta = &mcp.Meta{ProgressToken: "p", AdditionalFields: map[string]any{"traceparent": traceparent}}
	res, err := c.CallTool(ctx, req)
	if err != nil {
		b.t.Fatal(err)
	}
	answer, _ := res.StructuredContent.(map[string]any)
	return answer
}
