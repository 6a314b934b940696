package cli

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"sync/atomic"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// letIn says who may see the pages of testbed up, and what does what they ask
// for: who has a token for MCP may do there what the tools let them.
func (u *up) letIn(o *MonitorOptions) {
	o.Hands, o.Anonymous = &u.hands, swf.Principal{Name: u.username()}
	if !u.f.insecure {
		mine := &place{app: u.app, paths: u.paths, username: u.username()}
		o.Viewers = mine.tokens(u.log).Lookup(config.ForMCP)
	}
}

// hands are Hands on the tools of the MCP server, with their
// authority, limits and audit. The pages are served before the tools are there.
type hands struct {
	at atomic.Pointer[handed]
}

type handed struct {
	tools   map[string]tools.Tool
	configs func(string) []string
}

func (h *hands) use(set *tools.Set, configs func(username string) []string) {
	n := &handed{tools: map[string]tools.Tool{}, configs: configs}
	for _, t := range set.Tools() {
		n.tools[t.Name] = t
	}
	h.at.Store(n)
}

// Call implements Hands.
func (h *hands) Call(ctx context.Context, a PageCall) json.RawMessage {
	n := h.at.Load()
	if n == nil {
		return refusal(swf.E(swf.CodeBusy, "The testbed is still coming up.", "Try again in a moment."))
	}
	ctx = tools.WithOrigin(ctx, tools.Origin{Transport: "dashboard", Address: a.From})
	answer, err := json.Marshal(n.tools[a.Tool].Call(ctx, a.Who, a.Args, nil).Value)
	if err != nil {
		return refusal(swf.AsError(err))
	}
	return answer
}

// Configs implements Hands.
func (h *hands) Configs(username string) []string {
	if n := h.at.Load(); n != nil {
		return n.configs(username)
	}
	return nil
}

func refusal(e *swf.Error) json.RawMessage {
	answer, _ := json.Marshal(map[string]any{"outcome": "refused", "error": e}) // of texts it cannot fail
	return answer
}

// eitherToken knows the tokens of several lookups.
func eitherToken(lookups ...func(string) (swf.Principal, bool)) func(string) (swf.Principal, bool) {
	return func(token string) (swf.Principal, bool) {
		for _, lookup := range lookups {
			if p, ok := lookup(token); ok {
				return p, true
			}
		}
		return swf.Principal{}, false
	}
}

// oneToken knows a single token, which it compares in constant time.
func oneToken(token swf.Secret, p swf.Principal) func(string) (swf.Principal, bool) {
	want := sha256.Sum256([]byte(token.Reveal()))
	return func(given string) (swf.Principal, bool) {
		got := sha256.Sum256([]byte(given))
		if token == "" || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			return swf.Principal{}, false
		}
		return p, true
	}
}
