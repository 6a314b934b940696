package tools

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/trace"

	"github.com/epic-swf/testbed/audit"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// Origin is where a call came from, as far as its transport knows.
type Origin = audit.Origin

type originKey struct{}

// WithOrigin returns a context that carries where a call came from.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, &o)
}

// OriginFrom returns where the call came from; the zero Origin when nobody
// said so.
func OriginFrom(ctx context.Context) Origin {
	if o, ok := ctx.Value(originKey{}).(*Origin); ok {
		return *o
	}
	return Origin{}
}

// request is one call of a tool or a resource while it is decided and answered.
type request struct {
	id        string
	principal swf.Principal
	tool      string
	effect    Effect
	began     time.Time
	origin    Origin
	arguments map[string]any
	consent   string // of a person who was asked
	trace     string // the id of the trace it is part of, or ""
}

func (s *Set) begin(ctx context.Context, p swf.Principal, tool string, effect Effect) *request {
	r := &request{id: control.NewID(), principal: p, tool: tool, effect: effect, began: s.o.Now(), origin: OriginFrom(ctx)}
	if c := trace.SpanContextFromContext(ctx); c.IsValid() {
		r.trace = c.TraceID().String()
	}
	if c, asked := ctx.Value(consentKey{}).(Consent); asked {
		r.consent = "declined"
		if c.Given {
			r.consent = "given"
		}
	}
	return r
}

type callKey struct{}

// context returns a context in which commands bear the call's id.
func (c *request) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, callKey{}, c.id)
}

// traced is a Commander whose commands bear the id of the call that made them,
// so that the records here and those of the manager can be laid side by side.
type traced struct{ Commander }

// Ask implements Commander.
func (t traced) Ask(ctx context.Context, cmd control.Command, progress func(control.Reply)) (control.Reply, error) {
	cmd.CallID, _ = ctx.Value(callKey{}).(string)
	return t.Commander.Ask(ctx, cmd, progress)
}

// audit writes down what was decided and what came of it.
func (s *Set) audit(c *request, f facts) {
	took := s.o.Now().Sub(c.began)
	r := audit.Record{CallID: c.id, Time: c.began, Who: clean(c.principal.Name, 64), Role: role(c.principal), From: &c.origin, Action: c.tool,
		Arguments: c.arguments, Consent: c.consent, Target: f.target, Decision: audit.Allowed, Outcome: f.outcome, CommandID: f.commandID,
		Millis: float64(took.Microseconds()) / 1000}
	level := slog.LevelInfo
	attrs := []any{"call_id", c.id, "tool", c.tool, "principal", r.Who, "username", f.target,
		"outcome", f.outcome, "command_id", f.commandID, "took", took.Round(time.Millisecond)}
	if f.err != nil {
		r.Code, r.Reason = string(f.err.Code), f.err.Message
		attrs = append(attrs, "code", f.err.Code)
		if refusedHere(f.err.Code) {
			r.Decision = audit.Refused
		}
		if f.err.Code == swf.CodeForbidden {
			level = slog.LevelWarn
		}
		if cause := f.err.Unwrap(); cause != nil {
			attrs = append(attrs, "cause", cause)
		}
	}
	if c.trace != "" {
		attrs = append(attrs, "trace_id", c.trace)
	}
	s.count.answered(c.tool, f, took)
	s.o.Audit.Add(r)
	s.o.Log.Log(context.Background(), level, "tool call", attrs...)
}

// refusedHere tells the refusals by who asks, how and how often from those by
// the state of a testbed.
func refusedHere(code swf.Code) bool {
	switch code {
	case swf.CodeForbidden, swf.CodeUnauthenticated, swf.CodeInvalidArgument, swf.CodeLimited, swf.CodeConfirmationNeeded, swf.CodeWrongNamespace:
		return true
	}
	return false
}

func role(p swf.Principal) string {
	switch {
	case p.ReadOnly:
		return string(swf.RoleViewer)
	case p.Operator:
		return string(swf.RoleOperator)
	}
	return ""
}

// redacted is what the trail keeps of the arguments: what a tool knows and
// understands, and of all else that it was there. Free text is not kept, nor
// anything that looks like a secret: people and models paste them into the
// wrong field.
func redacted(list []param, args map[string]any) map[string]any {
	if len(args) == 0 {
		return nil
	}
	out := make(map[string]any, min(len(args), len(list)+1))
	for i := range list {
		if v, given := args[list[i].name]; given {
			out[list[i].name] = list[i].redact(v)
		}
	}
	if unknown := len(args) - len(out); unknown > 0 {
		out["(others)"] = unknown
	}
	return out
}

// redact is the value of one argument as the trail keeps it.
func (p *param) redact(v any) any {
	switch v := v.(type) {
	case nil, bool, float64:
		return v
	case string:
		if v != "" && ((p.kind == "" && p.enum == nil) || p.kind == swf.KindCommandID || looksSecret(v)) {
			return fmt.Sprintf("<%d characters>", utf8.RuneCountInString(v))
		}
		return clean(v, 128)
	}
	return "<" + show(v) + ">"
}

// secretRE matches what tokens look like: long runs without a separator, and
// the head of a JSON web token.
// It is made for the first argument that is looked at.
var secretRE = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8}|[A-Za-z0-9+/]{24,}|[A-Za-z0-9_-]{48,}`)
})

func looksSecret(s string) bool { return secretRE().MatchString(s) }
