package mcpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/epic-swf/testbed/swf"
)

const jsonType = "application/json"

// offerResources registers what can be read. The library picks any template
// that matches, so which resource a URI is, is decided here, in their order.
func (s *Server) offerResources() {
	if len(s.offer.resources) > 0 {
		server.WithResourceCapabilities(false, false)(s.mcp)
	}
	for _, r := range s.offer.resources {
		doc := s.offer.words(r.Description, ". ")
		if r.Variable() == "" {
			s.mcp.AddResource(mcp.NewResource(r.URI, r.Name, mcp.WithResourceTitle(r.Title), mcp.WithResourceDescription(doc), mcp.WithMIMEType(jsonType)), s.read)
			continue
		}
		s.mcp.AddResourceTemplate(mcp.NewResourceTemplate(r.URI, r.Name, mcp.WithTemplateTitle(r.Title), mcp.WithTemplateDescription(doc),
			mcp.WithTemplateMIMEType(jsonType)), server.ResourceTemplateHandlerFunc(s.read))
	}
}

func (s *Server) read(ctx context.Context, req mcp.ReadResourceRequest) (contents []mcp.ResourceContents, err error) {
	defer s.recovered("resource", req.Params.URI, &err)
	ctx, release := whileServed(ctx)
	defer release()
	var known []string
	for _, r := range s.offer.resources {
		value, ok := r.Match(req.Params.URI)
		if !ok {
			known = append(known, r.URI)
			continue
		}
		p, _ := s.o.Principal(ctx) // nobody is refused by the resource itself
		v, refused := r.Read(withClient(ctx), p, value)
		if refused != nil {
			return nil, told(refused)
		}
		b, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode: %w", err)
		}
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: req.Params.URI, MIMEType: jsonType, Text: string(b)}}, nil
	}
	return nil, told(swf.E(swf.CodeInvalidArgument, fmt.Sprintf("there is no resource %q", short(req.Params.URI)), "the resources are "+strings.Join(known, ", ")))
}

// told is an error that has only its text to say everything.
func told(e *swf.Error) error {
	return fmt.Errorf("%s (%s). Hint: %s", e.Message, e.Code, e.Hint)
}

// recovered turns a panic into an error that tells nothing of the inside.
func (s *Server) recovered(what, name string, err *error) {
	if r := recover(); r != nil {
		s.log.Error("a "+what+" panicked", "name", short(name), "panic", r, "stack", string(debug.Stack()))
		*err = errors.New("something failed inside the server; its log says what")
	}
}
