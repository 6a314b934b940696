package interop

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sdk is a script of testdata that drives an official SDK: it connects as its
// one argument says, prints a line that says what it found, and then answers
// each line that names a tool and its arguments with a line.
type sdk struct {
	*script
	hello hello
}

// connection is a script's argument.
type connection struct {
	Transport string `json:"transport"` // stdio, http or sse
	Era       string `json:"era"`       // legacy or auto

	Command string            `json:"command,omitempty"`
	Args    []string          `json:"args,omitempty"`
	Env     map[string]string `json:"env,omitempty"` // beside what the SDK gives any server
	URL     string            `json:"url,omitempty"`
	Token   string            `json:"token,omitempty"`

	Person string `json:"person,omitempty"` // how the person answers questions: accept, decline or cancel; "": nobody is there
}

// hello is a script's first line.
type hello struct {
	Server       string   `json:"server"`
	Protocol     string   `json:"protocol"`
	Instructions string   `json:"instructions"`
	Tools        []string `json:"tools"`
}

// The protocol versions that the eras should arrive at.
const (
	latestLegacy = "2025-11-25"
	modern       = "2026-07-28"
)

// transports are what each SDK is tried over, and the version that "auto"
// arrives at: HTTP+SSE knows none of the modern ones.
var transports = []struct{ name, auto string }{{"stdio", modern}, {"http", modern}, {"sse", latestLegacy}}

func TestTypeScriptSDK(t *testing.T) {
	t.Parallel()
	// Its one era is the handshake's.
	sdkSessions(t, typeScript(t, "typescript-v1.mjs"), "legacy")
}

func TestTypeScriptClient(t *testing.T) {
	t.Parallel()
	sdkSessions(t, typeScript(t, "typescript-v2.mjs"), "legacy", "auto")
}

func TestPythonSDK(t *testing.T) {
	t.Parallel()
	python := tool(t, "SWF_TEST_PYTHON", "Python with mcp and stomp.py")
	sdkSessions(t, []string{python, filepath.Join("testdata", "python.py")}, "legacy", "auto")
}

// typeScript returns a command for a script. It is copied beside a link to the
// packages, because imports are looked for from where a module is.
func typeScript(t *testing.T, script string) []string {
	t.Helper()
	node, modules := tool(t, "SWF_TEST_NODE", "Node 22"), tool(t, "SWF_TEST_NODE_MODULES", "MCP SDK")
	dir := t.TempDir()
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", script))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, script)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{node, path}
}

// sdkSessions plays the whole session over each transport in the first era.
// In further ones it sees the tools, the version and one call's answer.
func sdkSessions(t *testing.T, command []string, eras ...string) {
	t.Helper()
	b := bringUp(t)
	for _, tr := range transports {
		for i, era := range eras {
			t.Run(tr.name+"/"+era, func(t *testing.T) {
				c := connect(t, command, b.connection(tr.name, era))
				want := latestLegacy
				if era == "auto" {
					want = tr.auto
				}
				if c.hello.Protocol != want || c.hello.Server != "swf-testbed" || c.hello.Instructions == "" {
					t.Errorf("connected to %+v, want protocol %s", c.hello, want)
				}
				if i == 0 {
					session(t, c)
					return
				}
				if !offers(c.hello.Tools) {
					t.Errorf("tools: %v", c.hello.Tools)
				}
				hasProgressed(t, succeeds(t, c, "start_user_testbed", nil))
				succeeds(t, c, "stop_user_testbed", nil)
			})
		}
	}
	t.Run("asks the person", func(t *testing.T) { asksThePerson(t, b, command, eras...) })
}

// asksThePerson stops a testbed in which a workflow runs: the person behind each
// client is asked, in the way of each era, and decides. No client lives longer
// than it must: each is a process.
func asksThePerson(t *testing.T, b testbed, command []string, eras ...string) {
	t.Helper()
	as := func(person, transport, era string, do func(*testing.T, *sdk)) {
		t.Run(transport+"/"+era+"/"+person, func(t *testing.T) {
			to := b.connection(transport, era)
			to.Person = person
			do(t, connect(t, command, to))
		})
	}
	for _, era := range eras {
		run := ""
		as("", "http", era, func(t *testing.T, c *sdk) {
			succeeds(t, c, "start_user_testbed", nil)
			awaitReady(t, c)
			run = succeeds(t, c, "start_workflow", map[string]any{"realtime": true, "stf_count": 1000}).Structured.ExecutionID
			if a := c.Call(t, "stop_user_testbed", nil); a.Structured.Error == nil || a.Structured.Error.Code != "confirmation_required" {
				t.Errorf("with nobody to ask: %+v", a)
			}
		})
		for _, transport := range []string{"stdio", "http"} { // HTTP+SSE has no way to ask
			as("decline", transport, era, func(t *testing.T, c *sdk) {
				a := c.Call(t, "stop_user_testbed", nil)
				if e := a.Structured.Error; !a.IsError || e == nil || e.Code != "cancelled" || len(a.Asked) != 1 || !strings.Contains(a.Asked[0], run) {
					t.Errorf("%+v", a)
				}
			})
		}
		as("accept", "stdio", era, func(t *testing.T, c *sdk) {
			if a := succeeds(t, c, "stop_user_testbed", nil); len(a.Asked) != 1 {
				t.Errorf("the person was not asked: %+v", a)
			}
		})
	}
}

func (b *testbed) connection(transport, era string) connection {
	c := connection{Transport: transport, Era: era}
	switch transport {
	case "stdio":
		c.Command, c.Args = filepath.Join(b.bin, "swf-mcp"), []string{"stdio", "--dir", b.dir}
		c.Env = map[string]string{"GORACE": b.gorace}
	case "http":
		c.URL, c.Token = b.mcp, b.token
	case "sse":
		c.URL, c.Token = b.sse(), b.token
	}
	return c
}

// connect starts a script. At the end of the test it is told to close, and
// must then end by itself.
func connect(t *testing.T, command []string, to connection) *sdk {
	t.Helper()
	argument, err := json.Marshal(to)
	if err != nil {
		t.Fatal(err)
	}
	c := &sdk{script: run(t, command, string(argument))}
	c.next(&c.hello)
	return c
}

// script is a program of testdata that is asked and answers by lines of JSON.
type script struct {
	t       *testing.T
	in      io.WriteCloser
	answers *bufio.Scanner
	hung    *time.Timer // kills it
}

func run(t *testing.T, command []string, argument string) *script {
	t.Helper()
	cmd := exec.Command(command[0], append(command[1:len(command):len(command)], argument)...)
	cmd.Env = append(isolated(t.TempDir()), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = t.Output()
	cmd.WaitDelay = limit
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		hung.Reset(limit)
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil || !hung.Stop() {
			t.Errorf("the client: %v", err)
		}
	})
	s := &script{t: t, in: in, answers: bufio.NewScanner(out), hung: hung}
	s.answers.Buffer(nil, 1<<20)
	return s
}

func (s *script) next(v any) {
	s.t.Helper()
	s.hung.Reset(limit) // one answer may take as long, not a whole session
	if !s.answers.Scan() {
		s.t.Fatalf("the client said no more: %v", s.answers.Err())
	}
	decode(s.t, s.answers.Bytes(), v)
}

func (s *script) tell(v any) {
	s.t.Helper()
	if err := json.NewEncoder(s.in).Encode(v); err != nil {
		s.t.Fatal(err)
	}
}

func (c *sdk) Tools(*testing.T) []string { return c.hello.Tools }

func (c *sdk) Call(t *testing.T, tool string, arguments map[string]any) (a answer) {
	t.Helper()
	if arguments == nil {
		arguments = map[string]any{}
	}
	c.tell(map[string]any{"tool": tool, "arguments": arguments})
	c.next(&a)
	return a
}
