package cli

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// remote is the tools as an assistant of this user would call them: what a
// person sees and does beyond the own host is decided by the same code, under
// the same authority, and stands in the same audit trail.
type remote struct {
	place *place
	parts *mcpParts
	who   swf.Principal
	tools map[string]tools.Tool
}

// remote makes them; the caller closes it.
func (a *app) remote() (*remote, error) {
	p, err := a.findServer()
	if err != nil {
		return nil, err
	}
	log := a.log()
	parts, err := p.newTools("cli", func(c *control.Client) tools.Commander { return near{c, p} }, log)
	if err != nil {
		return nil, err
	}
	r := &remote{place: p, parts: parts, who: p.principal(log), tools: map[string]tools.Tool{}}
	for _, t := range parts.tools.Tools() {
		r.tools[t.Name] = t
	}
	return r, nil
}

func (r *remote) close() { r.parts.close() }

// principal is the user of this process, in the best role that the tokens of
// this place give to that name: whoever may write them has it anyway.
func (p *place) principal(log *slog.Logger) swf.Principal {
	who := swf.Principal{Name: p.username}
	list, err := p.tokens(log).List()
	if err != nil {
		return who // with less authority, and what uses tokens says why
	}
	for _, t := range list {
		if t.User == p.username && t.For == config.ForMCP && t.Role == swf.RoleOperator && !t.Expired(time.Now()) {
			who.Operator = true
		}
	}
	return who
}

// call calls one tool and returns its answer. Empty arguments are left out.
// The error is what the answer says went wrong; the answer is there all the
// same.
func call[T any](ctx context.Context, r *remote, tool string, arguments map[string]any) (*T, error) {
	end := r.place.app.waiting("asking")
	defer end()
	ctx = tools.WithOrigin(ctx, tools.Origin{Transport: "cli"})
	res := r.tools[tool].Call(ctx, r.who, given(arguments), r.place.app.tell)
	answer, ok := res.Value.(*T)
	if !ok {
		return nil, swf.E(swf.CodeInternal, "the answer of "+tool+" is of another kind", "report this")
	}
	return answer, failure(res)
}

// failure is what an answer says went wrong. One that is pending has not
// failed, but a script must be told.
func failure(res tools.Result) error {
	var said struct {
		Outcome   control.Outcome `json:"outcome"`
		CommandID string          `json:"command_id"`
		Error     *swf.Error      `json:"error"`
	}
	text, err := json.Marshal(res.Value)
	if err == nil {
		err = json.Unmarshal(text, &said)
	}
	switch {
	case err != nil:
		return err
	case said.Outcome == control.Pending, res.Failed && said.Outcome != "":
		return outcomeError{control.Reply{CommandID: said.CommandID, Outcome: said.Outcome, Error: said.Error}}
	case res.Failed && said.Error != nil:
		return said.Error
	}
	return nil
}

// given is arguments as JSON has them, less those that were left empty.
func given(arguments map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range arguments {
		switch v := v.(type) {
		case string:
			if v != "" {
				out[name] = v
			}
		case int:
			if v != 0 {
				out[name] = float64(v)
			}
		case float64:
			if v != 0 {
				out[name] = v
			}
		case *bool:
			if v != nil {
				out[name] = *v
			}
		}
	}
	return out
}

// near is a Commander that asks this user's own manager through its socket
// where it lives on this host, with no broker in between, and all others
// through the broker.
type near struct {
	*control.Client
	place *place
}

// Ask implements tools.Commander.
func (n near) Ask(ctx context.Context, cmd control.Command, progress func(control.Reply)) (control.Reply, error) {
	if cmd.Username == n.place.username {
		if socket, err := manager.LocalSocket(n.place.paths); err == nil {
			r, err := manager.AskLocal(ctx, socket, cmd, progress)
			if !isNoManager(err) {
				return r, err
			}
		}
	}
	return n.Client.Ask(ctx, cmd, progress)
}

// Ping implements tools.Commander.
func (n near) Ping(ctx context.Context, username string) (control.Pong, error) {
	if username == n.place.username {
		if socket, err := manager.LocalSocket(n.place.paths); err == nil {
			r, err := manager.AskLocal(ctx, socket, n.place.command(control.Ping), nil)
			if err == nil && r.Pong != nil {
				return *r.Pong, nil
			}
		}
	}
	return n.Client.Ping(ctx, username)
}
