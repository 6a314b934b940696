package oauth

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/mcpserver"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
	"github.com/epic-swf/testbed/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// obeying is a Commander whose managers do everything at once.
type obeying struct{}

func (obeying) Ping(_ context.Context, username string) (control.Pong, error) {
	return control.Pong{Protocol: control.Protocol, Username: username, State: swf.TestbedStopped}, nil
}

func (obeying) Ask(_ context.Context, cmd control.Command, _ func(control.Reply)) (control.Reply, error) {
	return control.Reply{CommandID: cmd.ID, Kind: control.Final, Outcome: control.Succeeded, Message: "issued by " + cmd.IssuedBy}, nil
}

// clock is a time that a test turns forward.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// serve runs our server, which takes the provider's tokens, and returns its URL.
func serve(t *testing.T, p *provider, c *clock) string {
	t.Helper()
	ln, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.audience = "http://" + ln.Addr().String() + "/mcp"
	s, err := mcpserver.New(mcpserver.Options{Tools: tools.New(tools.Options{Commander: obeying{}}).Tools()})
	if err != nil {
		t.Fatal(err)
	}
	keys := &http.Transport{}
	h := s.HTTP(mcpserver.HTTPOptions{OAuth: web.NewOAuth(web.OAuthOptions{Issuer: p.url, Resource: p.audience, UsernameClaim: "preferred_username",
		Algorithms: []string{"RS256", "ES256"}, Now: c.now, Client: &http.Client{Transport: keys}})})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- (&web.Server{Listener: ln, Handler: h, BeforeShutdown: h.Close}).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		keys.CloseIdleConnections()
		http.DefaultClient.CloseIdleConnections()
	})
	return p.audience
}

// session is an MCP client that has logged in.
type session struct {
	*client.Client
	store transport.TokenStore
}

// logIn connects without a token, follows what the server says to the
// authorization server, and connects again with what it got there.
func logIn(t *testing.T, server string, scopes ...string) *session {
	t.Helper()
	store := client.NewMemoryTokenStore()
	c, err := client.NewOAuthStreamableHttpClient(server, client.OAuthConfig{ClientID: clientID, RedirectURI: callback, Scopes: scopes,
		TokenStore: store, PKCEEnabled: true, TokenEndpointAuthMethod: "none"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
	hello.Params.ClientInfo = mcp.Implementation{Name: "oauth", Version: "1"}
	err = c.Start(t.Context())
	if err == nil {
		_, err = c.Initialize(t.Context(), hello)
	}
	if !client.IsOAuthAuthorizationRequiredError(err) {
		t.Fatalf("without a token: %v", err)
	}
	authorize(t, client.GetOAuthHandler(err))
	if err := c.Start(t.Context()); err != nil && !strings.Contains(err.Error(), "already") {
		t.Fatal(err)
	}
	if _, err := c.Initialize(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	return &session{c, store}
}

// authorize is what happens in a person's browser.
func authorize(t *testing.T, h *transport.OAuthHandler) {
	t.Helper()
	verifier, err := client.GenerateCodeVerifier()
	if err != nil {
		t.Fatal(err)
	}
	at, err := h.GetAuthorizationURL(t.Context(), "the-state", client.GenerateCodeChallenge(verifier))
	if err != nil {
		t.Fatal(err)
	}
	var back *url.URL
	browser := http.Client{CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), callback) {
			back = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	resp, err := browser.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if back == nil {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %d %s", at, resp.StatusCode, body)
	}
	if err := h.ProcessAuthorizationResponse(t.Context(), back.Query().Get("code"), "the-state", verifier); err != nil {
		t.Fatal(err)
	}
}

// call calls a tool and returns what it says, or the error.
func (s *session) call(t *testing.T, tool string) (string, error) {
	t.Helper()
	var req mcp.CallToolRequest
	req.Params.Name = tool
	r, err := s.CallTool(t.Context(), req)
	if err != nil {
		return "", err
	}
	text, _ := json.Marshal(r.Content)
	return string(text), nil
}

// token is the access token that the client holds.
func (s *session) token(t *testing.T) string {
	t.Helper()
	got, err := s.store.GetToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got.AccessToken
}

// status presents a token and returns the answer's status and challenge.
func status(t *testing.T, server, token string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("WWW-Authenticate")
}

func TestARealAuthorizationServer(t *testing.T) {
	p, c := newProvider(t), &clock{}
	server := serve(t, p, c)
	ann := logIn(t, server, "testbed:read", "testbed:control")
	if text, err := ann.call(t, "start_user_testbed"); err != nil || !strings.Contains(text, "issued by ann") {
		t.Errorf("%s, %v", text, err)
	}
	p.as("bob", time.Hour)
	bob := logIn(t, server, "testbed:read")
	if _, err := bob.call(t, "check_agent_manager"); err != nil {
		t.Errorf("looking: %v", err)
	}
	if _, err := bob.call(t, "start_user_testbed"); err == nil {
		t.Error("a token that may only look has started something")
	}
}

func TestKeysOfARealServerRotate(t *testing.T) {
	p, c := newProvider(t), &clock{}
	server := serve(t, p, c)
	first := logIn(t, server, "testbed:read", "testbed:control").token(t)
	p.rotate(t)
	c.forward(time.Minute)
	second := logIn(t, server, "testbed:read", "testbed:control").token(t)
	for name, token := range map[string]string{"the old key's": first, "the new key's": second} {
		if code, _ := status(t, server, token); code != http.StatusOK {
			t.Errorf("%s: %d", name, code)
		}
	}
	p.withdraw()
	c.forward(10 * time.Minute)
	if code, challenge := status(t, server, first); code != http.StatusUnauthorized || !strings.Contains(challenge, "invalid_token") {
		t.Errorf("a withdrawn key's: %d %s", code, challenge)
	}
	if code, _ := status(t, server, second); code != http.StatusOK {
		t.Errorf("the key that stays: %d", code)
	}
}

func TestTokensOfARealServerEnd(t *testing.T) {
	p, c := newProvider(t), &clock{}
	server := serve(t, p, c)
	p.as("ann", time.Minute)
	token := logIn(t, server, "testbed:read").token(t)
	if code, _ := status(t, server, token); code != http.StatusOK {
		t.Errorf("a fresh token: %d", code)
	}
	c.forward(5 * time.Minute)
	if code, challenge := status(t, server, token); code != http.StatusUnauthorized || !strings.Contains(challenge, "resource_metadata=") {
		t.Errorf("an expired token: %d %s", code, challenge)
	}
}
