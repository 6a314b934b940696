package docs

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// TestNewcomer is somebody who has nothing but README.md and does what it says,
// from the first block to the last: the demo, a testbed of one's own, its
// pages, an assistant, a workflow seen live. Each step's time is printed; none
// is a verdict.
func TestNewcomer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts testbeds")
	}
	s := needSite(t)
	t.Parallel()
	p := pages(t)[0]
	n := &newcomer{session: visit(t, s, "newcomer", false)}
	began := time.Now()
	for _, b := range p.blocks {
		if !b.runs() {
			continue
		}
		out := do(t, n.session, p, b)
		switch {
		case strings.Contains(b.text, "testbed up"):
			timed(t, "the pages answer", func() { n.openPages(t, out) })
		case strings.Contains(b.text, "mcp install"):
			timed(t, "an assistant starts the testbed and a workflow, seen live, and stops it", func() { n.assist(t) })
		}
	}
	if n.browser == nil || !n.assisted {
		t.Error("README.md leads neither to the pages nor to an assistant")
	}
	t.Logf("%5.1f s  all of it", time.Since(began).Seconds())
}

func timed(t *testing.T, what string, f func()) {
	t.Helper()
	began := time.Now()
	f()
	t.Logf("%5.1f s  %s", time.Since(began).Seconds(), what)
}

type newcomer struct {
	*session
	browser  *http.Client
	pages    string // their address
	assisted bool
}

var signInRE = regexp.MustCompile(`pages +(http://[0-9.:]+)(/\S*)`)

// openPages opens the address that up prints.
func (n *newcomer) openPages(t *testing.T, said string) {
	t.Helper()
	m := signInRE.FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("up tells no address of the pages:\n%s", said)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	n.pages, n.browser = m[1], &http.Client{Jar: jar, Timeout: patience}
	if text := n.get(t, m[2]); !strings.Contains(text, "Testbeds") {
		t.Fatalf("the pages show no testbeds:\n%s", text)
	}
}

func (n *newcomer) get(t *testing.T, path string) string {
	t.Helper()
	resp, err := n.browser.Get(n.pages + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if _, err := bufio.NewReader(resp.Body).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %s:\n%s", path, resp.Status, b.String())
	}
	return b.String()
}

// assist is an assistant's client: it reads the file that mcp install has
// written, starts the server that stands there, and does what a user would ask
// it for.
func (n *newcomer) assist(t *testing.T) {
	t.Helper()
	c := n.connect(t)
	defer c.Close()
	ask(t, c, "check_agent_manager", nil)
	ask(t, c, "start_user_testbed", nil)
	events := n.follow(t)
	id, _ := ask(t, c, "start_workflow", map[string]any{"stf_count": 3, "realtime": false})["execution_id"].(string)
	n.seeLive(t, events, id)
	ask(t, c, "stop_user_testbed", map[string]any{"confirm": true})
	n.assisted = true
}

func (n *newcomer) connect(t *testing.T) *client.Client {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(n.home, "*", ".mcp.json"))
	if len(files) != 1 {
		t.Fatalf("mcp install has written %q, not one .mcp.json", files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var conf struct {
		Servers map[string]struct {
			Command string
			Args    []string
		} `json:"mcpServers"`
	}
	if err := json.Unmarshal(text, &conf); err != nil {
		t.Fatal(err)
	}
	server := conf.Servers["testbed-control"]
	c, err := client.NewStdioMCPClientWithOptions(server.Command, nil, server.Args,
		transport.WithCommandFunc(command(n.env, filepath.Dir(files[0]))))
	if err != nil {
		t.Fatalf("%s: %v\n%s", files[0], err, text)
	}
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
	hello.Params.ClientInfo = mcp.Implementation{Name: "newcomer", Version: "1"}
	if _, err := c.Initialize(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	return c
}

// seeLive looks at the page of a run each time that the pages' events tell of
// a change, until the run has ended. At least one such event must come.
func (n *newcomer) seeLive(t *testing.T, events *bufio.Scanner, id string) {
	t.Helper()
	told := 0
	for events.Scan() {
		if events.Text() != "event: executions" {
			continue
		}
		told++
		if strings.Contains(n.get(t, "/executions/"+id), "completed") {
			t.Logf("the pages told %d times of the executions", told)
			return
		}
	}
	t.Fatalf("the pages tell nothing more of %s: %v", id, events.Err())
}

// follow opens the pages' events.
func (n *newcomer) follow(t *testing.T) *bufio.Scanner {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.pages+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := n.browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return bufio.NewScanner(resp.Body)
}

func ask(t *testing.T, c *client.Client, tool string, args map[string]any) map[string]any {
	t.Helper()
	var req mcp.CallToolRequest
	req.Params.Name, req.Params.Arguments = tool, args
	res, err := c.CallTool(t.Context(), req)
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	if res.IsError {
		t.Fatalf("%s did not succeed: %v", tool, res.Content)
	}
	answer, _ := res.StructuredContent.(map[string]any)
	return answer
}

// command gives the server the session's environment alone, as a client on the
// newcomer's desktop would.
func command(env []string, dir string) func(context.Context, string, []string, []string) (*exec.Cmd, error) {
	return func(ctx context.Context, name string, _ []string, args []string) (*exec.Cmd, error) {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Env, cmd.Dir = env, dir
		return cmd, nil
	}
}
