package interop

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
)

// pythonManager is python_manager.py.
type pythonManager struct{ *script }

// do gives an order and returns the commands with an effect that came so far.
func (m pythonManager) do(order string) []map[string]any {
	m.t.Helper()
	m.tell(map[string]string{"do": order})
	return m.got()
}

func (m pythonManager) got() []map[string]any {
	m.t.Helper()
	var said struct{ Got []map[string]any }
	m.next(&said)
	return said.Got
}

func (s *site) pythonManager(t *testing.T) pythonManager {
	t.Helper()
	l := s.asPython(t)
	m := pythonManager{pythonScript(t, "python_manager.py", map[string]any{"host": l.Host, "port": l.Port, "login": l.Login, "passcode": l.Passcode,
		"monitor": s.monitor, "token": s.token, "username": s.username, "namespace": "torre2"})}
	m.got()
	return m
}

// server is our MCP server over stdio, driven by the Python SDK, with
// SWF_CONTROL_QUEUE set to what Python managers listen on.
func (s *site) server(t *testing.T) *sdk {
	t.Helper()
	python := tool(t, "SWF_TEST_PYTHON", "Python with mcp and stomp.py")
	return connect(t, []string{python, filepath.Join("testdata", "python.py")}, connection{
		Transport: "stdio", Era: "legacy", Command: filepath.Join(install(t), "swf-mcp"), Args: []string{"stdio", "--dir", t.TempDir()},
		Env: map[string]string{"ACTIVEMQ_HOST": s.host, "ACTIVEMQ_PORT": s.port, "ACTIVEMQ_USER": s.login, "ACTIVEMQ_PASSWORD": s.passcode,
			"SWF_MONITOR_URL": s.monitor, "SWF_API_TOKEN": s.token, "SWF_CONTROL_QUEUE": "/queue/agent_control.{username}"},
	})
}

// outcome asks what became of a command.
func outcome(t *testing.T, c client, id string) pythonCommand {
	t.Helper()
	a := c.Call(t, "get_testbed_status", map[string]any{"command_id": id})
	if a.IsError || a.Structured.Command == nil || !strings.Contains(a.Text, "inferred") {
		t.Fatalf("%+v", a)
	}
	return *a.Structured.Command
}

func TestOurServerDrivesAPythonManager(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m, c := s.pythonManager(t), s.server(t)
	check := c.Call(t, "check_agent_manager", nil)
	if check.IsError || check.Structured.Alive == nil || !*check.Structured.Alive || !strings.Contains(check.Text, "Python agent manager") {
		t.Fatalf("%+v", check)
	}

	// The start is published and nothing is answered; nothing runs yet.
	var start answer
	c.tell(map[string]any{"tool": "start_user_testbed", "arguments": map[string]any{"config_name": "testbed.toml"}, "quiet": true})
	c.next(&start)
	if r := start.Structured; start.IsError || r.Outcome != "pending" || !r.Inferred || r.Success || !strings.Contains(start.Text, "inferred") {
		t.Fatalf("%+v", start)
	}
	id := start.Structured.CommandID
	if v := outcome(t, c, id); v.Outcome != "pending" {
		t.Errorf("before it has begun: %+v", v)
	}
	got := m.do("start")
	if len(got) != 1 || got[0]["command"] != "start_testbed" || got[0]["config_name"] != "testbed.toml" || got[0]["command_id"] != id {
		t.Fatalf("the manager got %v", got)
	}
	v := outcome(t, c, id)
	if v.Outcome != "succeeded" || !v.Inferred || !strings.Contains(v.From, "workflow-runner, example-data-agent RUNNING") || !strings.Contains(v.From, "2 agents") {
		t.Errorf("after: %+v", v)
	}
	if again := c.Call(t, "start_user_testbed", nil); again.Structured.Error == nil || again.Structured.Error.Code != "agents_running" {
		t.Errorf("a second start: %+v", again)
	}
	awaitReady(t, c)
	s.runWorkflow(t, c)

	// A stop whose effect is seen while the call waits.
	m.tell(map[string]string{"do": "stop when told"})
	stop := c.Call(t, "stop_user_testbed", nil)
	got = m.got()
	if r := stop.Structured; stop.IsError || r.Outcome != "succeeded" || !r.Inferred || !strings.Contains(stop.Text, "no program that runs") {
		t.Fatalf("%+v", stop)
	}
	if len(got) != 2 || got[1]["command"] != "stop_testbed" {
		t.Errorf("each command once, but the manager got %v", got)
	}
}

// runWorkflow plays the runner: it takes the one message from the queue that
// all Python runners share, and makes the execution in the monitor.
func (s *site) runWorkflow(t *testing.T, c client) {
	t.Helper()
	messages := make(chan map[string]any, 4)
	sub := s.dial("runner").Subscribe(swf.QueueLegacyWorkflow, amq.SubscribeOptions{AutoAck: true}, func(_ context.Context, d *amq.Delivery) {
		var m map[string]any
		_ = json.Unmarshal(d.Body, &m)
		messages <- m
	})
	defer sub.Close()
	<-sub.Ready()
	runner := make(chan error, 1)
	want := "stf_datataking-" + s.username + "-0001"
	go func() {
		m := <-messages
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		def, err := s.client().CreateDefinition(ctx, swf.Definition{WorkflowName: "stf_datataking", Version: "1.0", WorkflowType: "simulation", Definition: "-", CreatedBy: s.username})
		if err == nil {
			namespace, _ := m["namespace"].(string)
			_, err = s.client().CreateExecution(ctx, swf.Execution{ExecutionID: want, WorkflowDefinition: def.ID, Namespace: &namespace, Status: "running",
				ExecutedBy: s.username, StartTime: swf.At(time.Now()), ParameterValues: json.RawMessage("{}")})
		}
		runner <- err
	}()
	ran := c.Call(t, "start_workflow", map[string]any{"realtime": false, "stf_count": 2})
	if err := <-runner; err != nil {
		t.Fatal(err)
	}
	if r := ran.Structured; ran.IsError || r.Outcome != "succeeded" || !r.Inferred || r.ExecutionID != want {
		t.Fatalf("%+v", ran)
	}
	if busy := c.Call(t, "start_workflow", nil); busy.Structured.Error == nil || busy.Structured.Error.Code != "busy" {
		t.Errorf("while one runs: %+v", busy)
	}
	ended := make(chan map[string]any, 1)
	go func() {
		m := <-messages
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		runner <- s.client().PatchExecution(ctx, want, map[string]any{"status": "terminated", "end_time": nil})
		ended <- m
	}()
	end := c.Call(t, "stop_workflow", map[string]any{"execution_id": want})
	if err := <-runner; err != nil {
		t.Fatal(err)
	}
	if end.IsError || end.Structured.Outcome != "succeeded" || !end.Structured.Inferred {
		t.Errorf("%+v", end)
	}
	if m := <-ended; m["msg_type"] != "stop_workflow" || m["execution_id"] != want || m["namespace"] != "torre2" {
		t.Errorf("%v", m)
	}
	if len(messages) != 0 {
		t.Errorf("more than one copy: %v", <-messages)
	}
}

// A Python sender commands our manager as the old MCP server does: unsigned,
// without an id, with content-length, and replies to a queue of its own.
func TestAPythonSenderCommandsOurManager(t *testing.T) {
	t.Parallel()
	_ = tool(t, "SWF_TEST_PYTHON", "Python with mcp and stomp.py")
	b := bringUp(t, func(dir string) {
		path := config.UpPaths(dir).ManagerSettings()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("legacy_control_queue = true\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	e, err := config.ReadEndpoints(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	p, queue := peerOf(t, e), swf.LegacyControlQueue(e.BrokerLogin)
	p.subscribe("/queue/mcp_replies", "1")
	ask := func(command string) (m map[string]any) {
		t.Helper()
		p.send(queue, `{"command": "`+command+`", "reply_to": "/queue/mcp_replies"}`, nil)
		decode(t, []byte(p.hear().Body), &m)
		return m
	}
	if m := ask("ping"); m["status"] != "alive" || m["username"] != e.BrokerLogin || naive(m) != nil {
		t.Errorf("ping: %v, %v", m, naive(m))
	}
	if m := ask("status"); m["agents_running"] != false || m["username"] != e.BrokerLogin || naive(m) != nil {
		t.Errorf("status: %v, %v", m, naive(m))
	}
	await := func(running bool, programs int) {
		t.Helper()
		end := time.Now().Add(limit)
		for {
			m := ask("status")
			text, _ := m["supervisord_status"].(string)
			if m["agents_running"] == running && strings.Count(text, "RUNNING") >= programs {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("status stays %v", m)
			}
		}
	}
	stamp := time.Now().Format("2006-01-02T15:04:05.000000")
	p.send(queue, `{"command": "start_testbed", "config_name": "testbed.toml", "timestamp": "`+stamp+`", "source": "mcp"}`, nil)
	await(true, 2)
	p.send(queue, `{"command": "bogus"}`, nil)
	p.send(queue, `no JSON`, nil)
	p.send(queue, `{"command": "stop_testbed", "timestamp": "`+stamp+`", "source": "mcp"}`, nil)
	await(false, 0)
	p.disconnect()
}

// naive reports what is wrong with an answer's stamp, which Python reads by
// datetime.fromisoformat.
func naive(m map[string]any) error {
	stamp, _ := m["timestamp"].(string)
	_, err := time.Parse("2006-01-02T15:04:05.000000", stamp)
	return err
}

// peerOf connects as the old MCP server does.
func peerOf(t *testing.T, e *config.Endpoints) peer {
	t.Helper()
	host, port, err := net.SplitHostPort(e.Broker)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, login{Host: host, Port: n, Login: e.BrokerLogin, Passcode: e.BrokerPasscode.Reveal(), ContentLength: true})
}
