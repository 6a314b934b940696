package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/swf"
)

const listTools = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}`

// offered are the flags of swf-mcp and the tools that they leave.
var offered = []struct{ flags, tools string }{
	{"", "check_agent_manager get_agent_log get_testbed_status get_workflow_execution list_agents list_logs list_messages list_workflow_executions start_user_testbed start_workflow stop_user_testbed stop_workflow"},
	{"--read-only --toolsets control", "check_agent_manager get_testbed_status"},
	{"--toolsets monitor --tool-prefix swf_", "swf_get_agent_log swf_get_workflow_execution swf_list_agents swf_list_logs swf_list_messages swf_list_workflow_executions"},
}

// alone is an app in folders of its own.
func alone(t *testing.T, in io.Reader, out, err io.Writer) *app {
	t.Helper()
	home := t.TempDir()
	env := map[string]string{"HOME": home, "USER": "ann", "XDG_STATE_HOME": filepath.Join(home, "s"), "XDG_CONFIG_HOME": filepath.Join(home, "c"), "PATH": os.Getenv("PATH")}
	var environ []string
	for k, v := range env {
		environ = append(environ, k+"="+v)
	}
	return &app{in: in, out: out, err: err, getenv: func(k string) string { return env[k] }, environ: func() []string { return environ }}
}

func TestSecretIsTheFirstOnes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "session.key")
	got := make(chan swf.Secret, 16)
	for range cap(got) {
		go func() {
			s, err := secretFile(path)
			if err != nil || len(s) != 64 {
				t.Error(len(s), err)
			}
			got <- s
		}()
	}
	first := <-got
	for range cap(got) - 1 {
		if s := <-got; s != first {
			t.Error("two processes that start at once have two secrets")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Error("left behind: ", left)
	}
}

func toolNames(t *testing.T, answer []byte) string {
	t.Helper()
	var a struct {
		Result struct{ Tools []struct{ Name string } }
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	var names []string
	for _, tl := range a.Result.Tools {
		names = append(names, tl.Name)
	}
	return strings.Join(names, " ")
}

func TestWhatStdioOffers(t *testing.T) {
	for _, c := range offered {
		var out, said bytes.Buffer
		a := alone(t, strings.NewReader(listTools+"\n"), &out, &said)
		root := a.root("swf-mcp", "")
		root.AddCommand(a.stdioCommand())
		if code := a.execute(t.Context(), root, append([]string{"stdio", "--dir", t.TempDir()}, strings.Fields(c.flags)...)); code != ExitOK {
			t.Fatalf("%s: exit code %d: %s", c.flags, code, said.String())
		}
		if got := toolNames(t, out.Bytes()); got != c.tools {
			t.Errorf("%s: %s", c.flags, got)
		}
	}
	var said bytes.Buffer
	a := alone(t, strings.NewReader(""), io.Discard, &said)
	root := a.root("swf-mcp", "")
	root.AddCommand(a.stdioCommand())
	if code := a.execute(t.Context(), root, []string{"stdio", "--dir", t.TempDir(), "--toolsets", "all"}); code == ExitOK || !strings.Contains(said.String(), "the toolsets are control, monitor") {
		t.Errorf("a toolset that does not exist: %d: %s", code, said.String())
	}
}

func TestWhatServeOffers(t *testing.T) {
	for _, c := range offered {
		out, told := io.Pipe()
		a := alone(t, strings.NewReader(""), told, io.Discard)
		root := a.root("swf-mcp", "")
		root.AddCommand(a.serveCommand())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan int, 1)
		go func() {
			ended <- a.execute(ctx, root, append([]string{"serve", "--insecure-no-auth", "--dir", t.TempDir()}, strings.Fields(c.flags)...))
			told.Close()
		}()
		first, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, out) }()
		if got := toolNames(t, postModern(t, regexp.MustCompile(`http://\S+/mcp`).FindString(first))); got != c.tools {
			t.Errorf("%s: %s", c.flags, got)
		}
		cancel()
		select {
		case code := <-ended:
			if code != ExitOK {
				t.Errorf("%s: exit code %d", c.flags, code)
			}
		case <-time.After(time.Minute):
			t.Fatal("serve does not end")
		}
	}
}

// postModern asks for the tools without a session.
func postModern(t *testing.T, url string) []byte {
	t.Helper()
	body := strings.Replace(listTools, `"params":{}`, `"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}`, 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list"} {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
