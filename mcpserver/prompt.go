package mcpserver

import (
	"context"
	"slices"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// offerPrompts registers the requests that people pick.
func (s *Server) offerPrompts() {
	if len(s.offer.prompts) > 0 {
		server.WithPromptCapabilities(false)(s.mcp)
	}
	for _, p := range s.offer.prompts {
		options := []mcp.PromptOption{mcp.WithPromptTitle(p.Title), mcp.WithPromptDescription(p.Description)}
		for _, a := range p.Arguments {
			options = append(options, mcp.WithArgument(a.Name, mcp.ArgumentDescription(a.Doc)))
		}
		s.mcp.AddPrompt(mcp.NewPrompt(p.Name, options...), func(_ context.Context, req mcp.GetPromptRequest) (_ *mcp.GetPromptResult, err error) {
			defer s.recovered("prompt", p.Name, &err)
			text, refused := p.Text(req.Params.Arguments)
			if refused != nil {
				return nil, told(refused)
			}
			message := mcp.NewPromptMessage(mcp.RoleUser, mcp.NewTextContent(s.offer.words(text, "\n")))
			return mcp.NewGetPromptResult(p.Description, []mcp.PromptMessage{message}), nil
		})
	}
}

// offerCompletion registers the completion of arguments.
func (s *Server) offerCompletion() {
	if s.o.Complete == nil {
		return
	}
	server.WithCompletions()(s.mcp)
	server.WithPromptCompletionProvider(completer{s})(s.mcp)
	server.WithResourceCompletionProvider(completer{s})(s.mcp)
}

// completer is what the library asks. What is not offered completes nothing.
type completer struct{ s *Server }

// CompletePromptArgument implements server.PromptCompletionProvider.
func (c completer) CompletePromptArgument(ctx context.Context, name string, a mcp.CompleteArgument, more mcp.CompleteContext) (*mcp.Completion, error) {
	for _, p := range c.s.offer.prompts {
		i := slices.IndexFunc(p.Arguments, func(known tools.PromptArgument) bool { return known.Name == a.Name })
		if p.Name == name && i >= 0 {
			return c.complete(ctx, p.Arguments[i].Kind, a.Value, more)
		}
	}
	return &mcp.Completion{}, nil
}

// CompleteResourceArgument implements server.ResourceCompletionProvider.
func (c completer) CompleteResourceArgument(ctx context.Context, uri string, a mcp.CompleteArgument, more mcp.CompleteContext) (*mcp.Completion, error) {
	for _, r := range c.s.offer.resources {
		if r.URI == uri && r.Variable() == a.Name && r.Kind != "" {
			return c.complete(ctx, r.Kind, a.Value, more)
		}
	}
	return &mcp.Completion{}, nil
}

func (c completer) complete(ctx context.Context, kind swf.Kind, value string, more mcp.CompleteContext) (_ *mcp.Completion, err error) {
	defer c.s.recovered("completion", string(kind), &err)
	ctx, release := whileServed(ctx)
	defer release()
	p, _ := c.s.o.Principal(ctx)
	found := c.s.o.Complete(ctx, p, kind, value, more.Arguments["username"])
	return &mcp.Completion{Values: found.Values, Total: found.Total, HasMore: found.More}, nil
}
