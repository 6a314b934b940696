package config

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/swf"
)

func newTokens(t *testing.T) (*Tokens, *bytes.Buffer) {
	t.Helper()
	var said bytes.Buffer
	return OpenTokens(filepath.Join(t.TempDir(), "tokens.toml"), slog.New(slog.NewTextHandler(&said, nil))), &said
}

func TestTokens(t *testing.T) {
	tokens, _ := newTokens(t)
	server := OpenTokens(tokens.Path(), slog.New(slog.DiscardHandler)) // another process
	lookup, monitor := server.Lookup(ForMCP), server.Lookup(ForMonitor)
	if who, ok := lookup(""); ok {
		t.Errorf("before there is any: %+v", who)
	}
	add := func(e Token) (string, Token) {
		t.Helper()
		secret, e, err := tokens.Add(e)
		check(t, err)
		return secret.Reveal(), e
	}
	ann, annEntry := add(Token{User: "ann", Role: swf.RoleUser, For: ForMCP, Note: "laptop"})
	olga, _ := add(Token{User: "olga", Role: swf.RoleOperator, For: ForMCP})
	vic, _ := add(Token{User: "vic", Role: swf.RoleViewer, For: ForMCP})
	beat, _ := add(Token{User: "ann", Role: swf.RoleUser, For: ForMonitor})
	soon, _ := add(Token{User: "ann", Role: swf.RoleUser, For: ForMCP, Expires: time.Now().Add(time.Hour)})
	for token, want := range map[string]swf.Principal{
		ann: {Name: "ann"}, olga: {Name: "olga", Operator: true}, vic: {Name: "vic", ReadOnly: true}, soon: {Name: "ann"},
		beat: {}, "": {}, ann + " ": {}, ann[:len(ann)-1]: {}, annEntry.SHA256: {}, strings.ToUpper(ann): {},
	} {
		if who, ok := lookup(token); who != want || ok != (want.Name != "") {
			t.Errorf("%q: %+v, %t", token, who, ok)
		}
	}
	if who, ok := monitor(beat); !ok || who.Name != "ann" {
		t.Errorf("the monitor's: %+v, %t", who, ok)
	}
	if _, ok := monitor(ann); ok {
		t.Error("a token for MCP opens the monitor")
	}
	server.now = func() time.Time { return time.Now().Add(time.Hour) }
	if _, ok := lookup(soon); ok {
		t.Error("an expired token is good")
	}
	text, err := os.ReadFile(tokens.Path())
	check(t, err)
	for _, secret := range []string{ann, olga, vic, beat} {
		if strings.Contains(string(text), strings.TrimPrefix(secret, "swf_")) {
			t.Error("the file holds a token")
		}
	}
	gone, err := tokens.Revoke(func(e Token) bool { return e.ID == annEntry.ID })
	check(t, err)
	if _, ok := lookup(ann); ok || len(gone) != 1 {
		t.Errorf("a revoked token is good; gone: %v", gone)
	}
	if list, err := tokens.List(); err != nil || len(list) != 4 || list[0].User != "olga" {
		t.Errorf("%v, %v", list, err)
	}
}

func TestATokenFileThatCannotBeTrusted(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"open to the group": func(path string) error { return os.Chmod(path, 0o640) },
		"not TOML":          func(path string) error { return os.WriteFile(path, []byte("[[tokens"), 0o600) },
		"an unknown role": func(path string) error {
			text, err := os.ReadFile(path)
			return errorsOr(err, os.WriteFile(path, bytes.Replace(text, []byte(`"user"`), []byte(`"root"`), 1), 0o600))
		},
		"twice the same": func(path string) error {
			text, err := os.ReadFile(path)
			return errorsOr(err, os.WriteFile(path, append(text, text...), 0o600))
		},
	} {
		tokens, said := newTokens(t)
		lookup := tokens.Lookup(ForMCP)
		secret, _, err := tokens.Add(Token{User: "ann", Role: swf.RoleUser, For: ForMCP})
		check(t, err)
		if _, ok := lookup(secret.Reveal()); !ok {
			t.Fatal("the token is not known")
		}
		check(t, spoil(tokens.Path()))
		if _, ok := lookup(secret.Reveal()); ok {
			t.Errorf("%s: a token is good", name)
		}
		lookup(secret.Reveal())
		if n := strings.Count(said.String(), "until the file of tokens is mended"); n != 1 {
			t.Errorf("%s: told %d times: %s", name, n, said)
		}
		if _, _, err := tokens.Add(Token{User: "bob", Role: swf.RoleUser, For: ForMCP}); !swf.IsCode(err, swf.CodeInvalidConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func errorsOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func TestWrongTokens(t *testing.T) {
	tokens, _ := newTokens(t)
	for _, e := range []Token{
		{User: "Ann", Role: swf.RoleUser, For: ForMCP},
		{User: "ann", Role: "root", For: ForMCP},
		{User: "ann", Role: swf.RoleUser, For: "all"},
		{User: "ann", Role: swf.RoleUser, For: ForMCP, Note: strings.Repeat("x", 201)},
	} {
		if _, _, err := tokens.Add(e); !swf.IsCode(err, swf.CodeInvalidArgument) || swf.AsError(err).Hint == "" {
			t.Errorf("%+v: %v", e, err)
		}
	}
}

// TestTokensOfManyWriters: no token is lost, and readers see whole files.
func TestTokensOfManyWriters(t *testing.T) {
	tokens, said := newTokens(t)
	lookup := tokens.Lookup(ForMCP)
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for j := range 4 {
				secret, _, err := OpenTokens(tokens.Path(), nil).Add(Token{User: fmt.Sprintf("u%d-%d", i, j), Role: swf.RoleUser, For: ForMCP})
				if _, ok := lookup(secret.Reveal()); err != nil || !ok {
					t.Errorf("writer %d: known %t, %v", i, ok, err)
				}
			}
		})
	}
	writers.Wait()
	if list, err := tokens.List(); err != nil || len(list) != 32 || said.Len() > 0 {
		t.Errorf("%d tokens, %v, %s", len(list), err, said)
	}
}
