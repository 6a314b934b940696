package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// inspector is the official Inspector's command line: a process for each
// request.
type inspector struct {
	node, script string
	home         string
	target       []string // of the server
}

// toolFailed is its exit status where a tool's result is an error.
const toolFailed = 5

func TestInspector(t *testing.T) {
	t.Parallel()
	node := tool(t, "SWF_TEST_NODE", "Node 22")
	script := filepath.Join(tool(t, "SWF_TEST_NODE_MODULES", "MCP Inspector"), "@modelcontextprotocol/inspector/clients/launcher/build/index.js")
	b := bringUp(t)
	auth := []string{"--header", "Authorization: Bearer " + b.token}
	for _, tt := range []struct {
		transport string
		target    []string
	}{
		{"stdio", []string{filepath.Join(b.bin, "swf-mcp"), "stdio", "--dir", b.dir, "-e", "GORACE=" + b.gorace}},
		{"http", append([]string{b.mcp, "--transport", "http"}, auth...)},
		{"sse", append([]string{b.sse(), "--transport", "sse"}, auth...)},
	} {
		t.Run(tt.transport, func(t *testing.T) {
			i := inspector{node: node, script: script, home: t.TempDir(), target: tt.target}
			session(t, i)
			i.target = append(i.target[:len(i.target):len(i.target)], "--protocol-era", "auto")
			if names := i.Tools(t); !offers(names) {
				t.Errorf("protocol era auto: tools %v", names)
			}
			if a := i.Call(t, "check_agent_manager", nil); a.IsError || a.Structured.Alive == nil {
				t.Errorf("protocol era auto: %+v", a)
			}
		})
	}
	t.Run("without a token", func(t *testing.T) {
		i := inspector{node: node, script: script, home: t.TempDir()}
		for _, url := range []string{b.mcp, b.sse()} {
			i.target = []string{url}
			if out, _, status := i.run(t, "--method", "tools/list", "--stored-auth-only"); status == 0 || strings.Contains(string(out), theTools[0]) {
				t.Errorf("%s: status %d: %s", url, status, out)
			}
		}
	})
}

func (b *testbed) sse() string { return strings.TrimSuffix(b.mcp, "/mcp") + "/sse" }

// Tools also holds the schemas against the Inspector's rules for portability.
func (i inspector) Tools(t *testing.T) (names []string) {
	t.Helper()
	out, said, status := i.run(t, "--method", "tools/list", "--strict")
	if status != 0 || strings.Contains(said, "schema") {
		t.Fatalf("tools/list --strict: status %d: %s", status, said)
	}
	var list struct {
		Result struct{ Tools []struct{ Name string } }
	}
	decode(t, out, &list)
	for _, tool := range list.Result.Tools {
		names = append(names, tool.Name)
	}
	return names
}

func (i inspector) Call(t *testing.T, tool string, arguments map[string]any) answer {
	t.Helper()
	if arguments == nil {
		arguments = map[string]any{}
	}
	given, err := json.Marshal(arguments)
	if err != nil {
		t.Fatal(err)
	}
	out, said, status := i.run(t, "--method", "tools/call", "--tool-name", tool, "--tool-args-json", string(given))
	if status != 0 && status != toolFailed {
		t.Fatalf("%s: status %d: %s", tool, status, said)
	}
	var r struct {
		Result struct {
			Content           []struct{ Text string }
			StructuredContent result
			IsError           bool
		}
	}
	decode(t, out, &r)
	a := answer{Structured: r.Result.StructuredContent, IsError: r.Result.IsError}
	for _, c := range r.Result.Content {
		a.Text += c.Text
	}
	if a.IsError != (status == toolFailed) {
		t.Errorf("%s: isError is %t, but the Inspector's status %d", tool, a.IsError, status)
	}
	return a
}

func (i inspector) run(t *testing.T, request ...string) (out []byte, said string, status int) {
	t.Helper()
	args := append([]string{i.script, "--cli"}, i.target...)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, i.node, append(append(args, "--format", "json"), request...)...)
	cmd.Env = append(isolated(i.home), "MCP_CATALOG_PATH="+filepath.Join(i.home, "catalog.json"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out, stderr.String(), cmd.ProcessState.ExitCode()
}
