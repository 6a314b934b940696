//go:build packages

package packages

import (
	"archive/zip"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// manifest is what the tests read of a bundle's manifest.json.
type manifest struct {
	Server struct {
		EntryPoint string `json:"entry_point"`
		Config     struct {
			Command string
			Args    []string
		} `json:"mcp_config"`
	}
	Tools []struct{ Name string }
}

// TestBundle has the official tool check the bundle of this machine, installs
// it as a client would, and talks to the server in it.
func TestBundle(t *testing.T) {
	mcpb := tool(t, "SWF_TEST_MCPB", "official MCP bundle tool")
	dist, _ := built(t)
	found, err := filepath.Glob(filepath.Join(dist, "bundles", "swf-mcp_*_"+runtime.GOOS+"_"+runtime.GOARCH+".mcpb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("bundles of this machine: %v, %v", found, err)
	}
	dir := t.TempDir()
	unzip(t, found[0], dir)
	cmd := exec.Command(os.Getenv("SWF_TEST_NODE"), mcpb, "validate", filepath.Join(dir, "manifest.json"))
	said(t, cmd)

	var m manifest
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "manifest.json"))), &m); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("${__dirname}", dir, "${user_config.testbed}", t.TempDir())
	args := m.Server.Config.Args
	for i := range args {
		args[i] = fill.Replace(args[i])
	}
	var want []string
	for _, tool := range m.Tools {
		want = append(want, tool.Name)
	}
	offered := toolsOf(t, fill.Replace(m.Server.Config.Command), args)
	slices.Sort(want)
	if !slices.Equal(offered, want) {
		t.Errorf("the server offers %v, the manifest says %v", offered, want)
	}
}

func unzip(t *testing.T, bundle, dir string) {
	t.Helper()
	z, err := zip.OpenReader(bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, f.Mode()); err != nil {
			t.Fatal(err)
		}
	}
}

// toolsOf are the names of the tools that a server offers over stdio, sorted.
func toolsOf(t *testing.T, command string, args []string) []string {
	t.Helper()
	home := t.TempDir()
	c, err := client.NewStdioMCPClient(command, []string{"HOME=" + home, "USER=ann"}, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	hello.Params.ClientInfo = mcp.Implementation{Name: "test", Version: "1"}
	if _, err := c.Initialize(ctx, hello); err != nil {
		t.Fatal(err)
	}
	list, err := c.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	return names
}

// TestRegistry checks server.json against the registry's own schema, which its
// Go module carries.
func TestRegistry(t *testing.T) {
	schema := tool(t, "SWF_TEST_MCP_SCHEMA", "schema of the MCP registry")
	dist, _ := built(t)
	s, err := jsonschema.NewCompiler().Compile(schema)
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, filepath.Join(dist, "server.json"))
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Error(err)
	}
	var server struct {
		Packages []struct{ Identifier, FileSha256 string }
	}
	if err := json.Unmarshal([]byte(text), &server); err != nil {
		t.Fatal(err)
	}
	if len(server.Packages) == 0 {
		t.Error("server.json names no bundle")
	}
	for _, p := range server.Packages {
		if sum := digest(t, filepath.Join(dist, "bundles", filepath.Base(p.Identifier))); sum != p.FileSha256 {
			t.Errorf("%s has the digest %s, server.json says %s", p.Identifier, sum, p.FileSha256)
		}
	}
}
