package hosts

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/epic-swf/testbed/amq/broker"
)

// brokerVariable makes a copy of this test binary the broker: that one has no
// program of its own, since it is for one host.
const brokerVariable = "TESTBED_HOSTS_BROKER"

func TestMain(m *testing.M) {
	if addr := os.Getenv(brokerVariable); addr != "" {
		fmt.Fprintln(os.Stderr, serveBroker(addr, os.Getenv("CERT"), os.Getenv("KEY")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// serveBroker works until the test dies, of which the end of stdin tells.
func serveBroker(addr, cert, key string) error {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return err
	}
	ln, err := tls.Listen("tcp", addr, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
		os.Exit(2)
	}()
	fmt.Println("ready")
	return broker.New(broker.Options{Login: login, Passcode: passcode}).Serve(context.Background(), ln)
}

// serve starts broker, monitor and MCP server, and makes a client of each user
// that is to have one.
func (s *site) serve(users ...*account) map[string]*assistant {
	s.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), brokerVariable+"="+net.JoinHostPort(s.services.ip, brokerPort), "CERT="+s.certFile(), "KEY="+s.keyFile())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { stdin.Close() })
	s.start(cmd, s.services, 0, "broker").says("ready")

	watcher := s.account("monitor", uidServices, s.services)
	watcher.run("", "testbed", "monitor", "--listen", net.JoinHostPort(s.services.ip, monitorPort), "--tls-cert", s.certFile(), "--tls-key", s.keyFile()).says("monitor: ")

	server := s.account("server", uidServices, s.mcp)
	assistants := map[string]*assistant{}
	for _, a := range users {
		server.do(a.do("", "testbed", "--dir", a.testbed(), "key", "export"), "testbed", "key", "enroll", a.user)
		token := strings.TrimSpace(server.do("", "testbed", "token", "add", a.user))
		assistants[a.user] = &assistant{s: s, token: token}
	}
	server.run("", "swf-mcp", "serve", "--listen", net.JoinHostPort(s.mcp.ip, mcpPort), "--tls-cert", s.certFile(), "--tls-key", s.keyFile()).says("MCP over HTTP")
	for _, c := range assistants {
		c.connect()
	}
	return assistants
}

// refusesToListen proves that no server listens beyond its host unless it is
// told how tokens are kept from others.
func (a *account) refusesToListen(program string, args ...string) {
	a.s.t.Helper()
	p := a.run("", program, append(args, "--listen", net.JoinHostPort(a.host.ip, "0"))...)
	if code := p.wait(); code == 0 || !strings.Contains(p.stderr.String(), "without TLS") {
		a.s.t.Errorf("%s ended with %d:\n%s", p.what, code, p.stderr.String())
	}
}

// newTestbed makes a user's testbed folder on a host, with a program that
// takes its time to start.
func (a *account) newTestbed() {
	a.s.t.Helper()
	a.do("", "testbed", "init", a.testbed())
	conf := filepath.Join(a.testbed(), "agents.supervisord.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		a.s.t.Fatal(err)
	}
	a.write(conf, string(text)+"\n[program:slow]\ncommand=/bin/sleep 3600\nautostart=false\nstartsecs=5\n")
	a.write(filepath.Join(a.testbed(), "workflows", "slow.toml"), "[testbed]\nnamespace = \""+a.user+"\"\n[agents.slow]\nenabled = true\nprogram = \"slow\"\n")
}

// manager starts the agent manager of an account.
func (a *account) manager() *process {
	a.s.t.Helper()
	return a.run("", "agent-manager", "--dir", a.testbed())
}

// assistant is an MCP client of one user, on the clients' host.
type assistant struct {
	s     *site
	token string
	mcp   *client.Client
}

func (c *assistant) connect() {
	t := c.s.t
	t.Helper()
	over := &http.Transport{DialContext: c.s.client.dial, TLSClientConfig: &tls.Config{RootCAs: c.s.pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(over.CloseIdleConnections)
	var err error
	c.mcp, err = client.NewStreamableHttpClient("https://"+net.JoinHostPort(c.s.mcp.ip, mcpPort)+"/mcp",
		transport.WithHTTPBasicClient(&http.Client{Transport: over}), transport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + c.token}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.mcp.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.mcp.Start(ctx); err != nil {
		t.Fatal(err)
	}
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	hello.Params.ClientInfo = mcp.Implementation{Name: "hosts", Version: "1"}
	if _, err := c.mcp.Initialize(ctx, hello); err != nil {
		t.Fatal(err)
	}
}

// call calls a tool and reads its answer.
func (c *assistant) call(tool string, arguments map[string]any, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var req mcp.CallToolRequest
	req.Params.Name, req.Params.Arguments = tool, arguments
	res, err := c.mcp.CallTool(ctx, req)
	if err != nil {
		return fmt.Errorf("%s: %w", tool, err)
	}
	if res.StructuredContent == nil {
		return errors.New(tool + ": the answer lacks its structure")
	}
	text, err := json.Marshal(res.StructuredContent)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// patience is how long a test waits for what must come; no verdict on speed.
const patience = 90 * time.Second
