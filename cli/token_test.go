package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
)

// tokenCLI runs testbed token.
func tokenCLI(t *testing.T, a *app, args ...string) (code int, out, said string) {
	t.Helper()
	var o, e bytes.Buffer
	a.out, a.err, a.output = &o, &e, ""
	root := a.root("testbed", "")
	root.AddCommand(a.tokenCommand())
	code = a.execute(t.Context(), root, append([]string{"token"}, args...))
	return code, o.String(), e.String()
}

func TestTokenCommands(t *testing.T) {
	a := alone(t, nil, nil, nil)
	t.Chdir(t.TempDir())
	tokens := config.OpenTokens(filepath.Join(a.getenv("XDG_CONFIG_HOME"), "swf-testbed", "tokens.toml"), nil)
	lookup := tokens.Lookup(config.ForMCP)
	if code, out, _ := tokenCLI(t, a, "list"); code != ExitOK || !strings.Contains(out, "testbed token add") {
		t.Errorf("no tokens: %d %s", code, out)
	}
	code, secret, said := tokenCLI(t, a, "add", "ann", "--role", "operator", "--note", "her\x1b[31m laptop", "--expires", "90d")
	secret = strings.TrimSpace(secret)
	if who, ok := lookup(secret); code != ExitOK || !ok || who != (swf.Principal{Name: "ann", Operator: true}) || strings.Contains(said, secret) {
		t.Errorf("add: %d, %+v, %t, said %s", code, who, ok, said)
	}
	code, out, _ := tokenCLI(t, a, "add", "bob", "-o", "json")
	var entry struct{ ID, Token, SHA256 string }
	if err := json.Unmarshal([]byte(out), &entry); code != ExitOK || err != nil || entry.ID == "" || entry.Token == "" || entry.SHA256 != "" {
		t.Errorf("add as JSON: %d, %v, %s", code, err, out)
	}
	_, out, _ = tokenCLI(t, a, "list")
	if strings.Contains(out, secret) || strings.Contains(out, "\x1b") || !strings.Contains(out, "operator") || strings.Count(out, "\n") != 3 {
		t.Errorf("list: %q", out)
	}
	for _, wrong := range [][]string{{"add"}, {"add", "Ann"}, {"add", "ann", "--role", "root"}, {"add", "ann", "--expires", "soon"}, {"revoke"}, {"revoke", "nothing"}, {"revoke", "x", "--user", "ann"}} {
		if code, _, said := tokenCLI(t, a, wrong...); code == ExitOK || !strings.Contains(said, "hint: ") && len(wrong) > 1 {
			t.Errorf("%v: %d, %s", wrong, code, said)
		}
	}
	if code, out, _ := tokenCLI(t, a, "revoke", entry.ID); code != ExitOK || !strings.Contains(out, "bob") {
		t.Errorf("revoke: %d %s", code, out)
	}
	if code, _, _ := tokenCLI(t, a, "revoke", "--user", "ann"); code != ExitOK {
		t.Errorf("revoke --user: %d", code)
	}
	for _, gone := range []string{secret, entry.Token} {
		if _, ok := lookup(gone); ok {
			t.Error("a revoked token is good")
		}
	}
	if info, err := os.Stat(tokens.Path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestTheOwnToken is made once, and anew when it was revoked.
func TestTheOwnToken(t *testing.T) {
	dir := t.TempDir()
	p := &place{app: alone(t, nil, nil, nil), paths: config.UpPaths(dir), username: "ann"}
	if err := p.paths.Make(); err != nil {
		t.Fatal(err)
	}
	tokens := p.tokens(p.app.log())
	first, err := p.ownToken(tokens)
	if again, err2 := p.ownToken(tokens); err != nil || err2 != nil || again != first {
		t.Errorf("not kept: %v, %v", err, err2)
	}
	if _, err := tokens.Revoke(func(config.Token) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if again, err := p.ownToken(tokens); err != nil || again == first {
		t.Errorf("a revoked token is used: %v", err)
	}
}

func TestWhereServersListen(t *testing.T) {
	for _, c := range []struct {
		f             listenFlags
		authenticated bool
		want          string
	}{
		{listenFlags{addr: "127.0.0.1:0"}, false, ""},
		{listenFlags{addr: "0.0.0.0:0", behind: true}, false, "without tokens"},
		{listenFlags{addr: "0.0.0.0:0"}, true, "without TLS"},
		{listenFlags{addr: ":0"}, true, "without TLS"},
		{listenFlags{addr: "0.0.0.0:0", behind: true}, true, ""},
		{listenFlags{addr: "0.0.0.0:0", cert: "c.pem"}, true, "belong together"},
		{listenFlags{addr: "0.0.0.0:0", cert: "c.pem", key: "k.pem"}, true, "cannot be used"},
	} {
		ln, _, err := c.f.open(c.authenticated, nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.f, err)
		}
		if ln != nil {
			ln.Close()
		}
	}
}

// TestAttack07NoSecretInFlags: what is in the arguments of a process can be read
// by everybody on the host, so no command takes a secret there.
func TestAttack07NoSecretInFlags(t *testing.T) {
	a := alone(t, nil, nil, nil)
	root := a.root("all", "")
	root.AddCommand(a.initCommand(), a.upCommand(), a.demoCommand(), a.runCommand(), a.stopAgentsCommand(), a.statusCommand(), a.tokenCommand(),
		a.monitorCommand(), a.agentManagerCommand("agent-manager"), a.stdioCommand(), a.serveCommand(), a.runnerCommand())
	root.AddCommand(a.agentCommands()...)
	seen := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			seen++
			for _, word := range []string{"secret", "password", "passcode", "passwd", "token", "credential"} {
				if strings.Contains(f.Name, word) {
					t.Errorf("%s --%s takes a secret", c.CommandPath(), f.Name)
				}
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	if walk(root); seen < 20 {
		t.Errorf("only %d flags were seen", seen)
	}
}
