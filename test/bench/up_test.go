package bench

import (
	"context"
	"encoding/json"
	"net/http"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// upSite is "testbed up" in a process of its own: broker, monitor, MCP server
// and one manager.
type upSite struct {
	t       testing.TB
	dir     string
	user    string
	process *process
	config.Endpoints
	monitor *monitor.Client
	http    *http.Client
	session string
}

func newUp(t testing.TB) *upSite {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	u := &upSite{t: t, dir: folder(t), user: me.Username, http: keeper(t)}
	u.process = spawn(t, []string{"HOME=" + u.dir, "SWF_HOME=" + u.dir}, ours(t, "testbed"), "up", "--insecure-no-auth", "--dir", u.dir)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if e, err := config.ReadEndpoints(u.dir); err == nil && e != nil {
			u.Endpoints = *e
			break
		}
		if time.Now().After(end) {
			t.Fatal("testbed up does not come up\n", u.process.output.String())
		}
	}
	u.monitor = monitor.New(monitor.Options{URL: u.Monitor})
	t.Cleanup(u.monitor.Close)
	u.session = post(t, u.http, u.mcp(), "", initialize).Get("Mcp-Session-Id")
	// What is sent before the manager's journal began is refused as stale, and
	// the endpoints are told a moment earlier.
	for end := time.Now().Add(patience); u.tool("check_agent_manager", map[string]any{})["alive"] != true; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the manager does not answer")
		}
	}
	return u
}

func (u *upSite) mcp() string {
	if strings.HasSuffix(u.MCP, "/mcp") {
		return u.MCP
	}
	return u.MCP + "/mcp"
}

// tool calls a tool as an assistant does; it must succeed.
func (u *upSite) tool(name string, arguments map[string]any) map[string]any {
	u.t.Helper()
	params, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": map[string]any{"name": name, "arguments": arguments}})
	var said struct {
		Result struct {
			IsError           bool
			StructuredContent map[string]any
		}
	}
	text := exchange(u.t, u.http, u.mcp(), u.session, string(params))
	if at := strings.Index(text, "{"); at >= 0 {
		_ = json.NewDecoder(strings.NewReader(text[at:])).Decode(&said)
	}
	if said.Result.IsError || said.Result.StructuredContent == nil {
		u.t.Fatalf("%s: %s\n%s", name, text, u.process.output.String())
	}
	return said.Result.StructuredContent
}

// state is the run's of an execution, nil while the monitor has none.
func (u *upSite) state(execution string) *swf.RunState {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	runs, err := u.monitor.Runs(ctx)
	if err != nil {
		u.t.Fatal(err)
	}
	for _, r := range runs {
		var imminent swf.Message
		if json.Unmarshal(r.RunConditions, &imminent) == nil && imminent.ExecutionID() == execution {
			if s, err := u.monitor.RunState(ctx, r.RunNumber); err == nil {
				return s
			}
		}
	}
	return nil
}

func (u *upSite) paths() config.Paths { return config.UpPaths(u.dir) }

func (u *upSite) keyFile() string { return filepath.Clean(u.paths().ControlKey()) }
