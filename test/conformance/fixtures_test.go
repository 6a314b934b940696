package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/epic-swf/testbed/mcpserver"
)

// The smallest picture and the shortest sound.
const (
	picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	sound   = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="
)

// fixtures adds what the suite looks for.
func fixtures(s *server.MCPServer) {
	for _, feature := range []server.ServerOption{server.WithLogging(), server.WithElicitation(), server.WithRoots(),
		server.WithToolCapabilities(true), server.WithPromptCapabilities(true), server.WithResourceCapabilities(true, true)} {
		feature(s)
	}
	s.EnableSampling()
	contents(s)
	notifications(s)
	changes(s)
	resources(s)
	prompts(s)
	rounds(s)
}

// call is a tool's handler without what few of them need.
type call func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error)

func tell(s *server.MCPServer, name string, f call, options ...mcp.ToolOption) {
	s.AddTool(mcp.NewTool(name, append(options, mcp.WithDescription("A fixture of the conformance suite: "+name))...), server.ToolHandlerFunc(f))
}

// contents are tools that answer with each kind of content.
func contents(s *server.MCPServer) {
	text := func(uri, media, text string) mcp.Content {
		return mcp.NewEmbeddedResource(mcp.TextResourceContents{URI: uri, MIMEType: media, Text: text})
	}
	for name, content := range map[string][]mcp.Content{
		"test_simple_text":       {mcp.NewTextContent("This is a simple text response for testing.")},
		"test_image_content":     {mcp.NewImageContent(picture, "image/png")},
		"test_audio_content":     {mcp.NewAudioContent(sound, "audio/wav")},
		"test_embedded_resource": {text("test://embedded-resource", "text/plain", "This is an embedded resource content.")},
		"test_multiple_content_types": {mcp.NewTextContent("Multiple content types test:"), mcp.NewImageContent(picture, "image/png"),
			text("test://mixed-content-resource", "application/json", `{"test":"data","value":123}`)},
		"test_missing_capability": {mcp.NewTextContent("The client declares sampling.")},
	} {
		tell(s, name, func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return &mcp.CallToolResult{Content: content}, nil
		})
	}
	tell(s, "test_error_handling", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError("This tool intentionally returns an error for testing"), nil
	})
	tell(s, "test_header_parameter", func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(req.GetString("region", "")), nil
	}, mcp.WithString("region", mcp.Description("a value that travels in a header too"), func(schema map[string]any) { schema["x-mcp-header"] = "Region" }))
	s.AddTool(mcp.NewToolWithRawSchema("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", json.RawMessage(schema202012)),
		func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText("ok"), nil
		})
}

// schema202012 has the keywords that the suite wants to find again.
const schema202012 = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
	"properties": {
		"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}, "phone": {"type": "string"}, "email": {"type": "string"},
		"contactMethod": {"type": "string", "enum": ["phone", "email"]}
	},
	"allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
	"if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
	"then": {"required": ["phone"]},
	"else": {"required": ["email"]},
	"additionalProperties": false
}`

// notifications are tools that say something before they answer.
func notifications(s *server.MCPServer) {
	log := func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		for _, text := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
			// Whether the client gets it is for the library to say.
			if info := server.RequestProtocolInfoFromContext(ctx); info == nil || !info.Modern || info.LogLevel != "" {
				mcpserver.Notified(ctx)
			}
			if err := s.SendLogMessageToClient(ctx, mcp.NewLoggingMessageNotification(mcp.LoggingLevelInfo, "fixture", text)); err != nil {
				return nil, err
			}
			mcpserver.Settle(ctx) // the suite wants a pause between them
		}
		return mcp.NewToolResultText("Three messages were logged."), nil
	}
	tell(s, "test_tool_with_logging", log)
	tell(s, "test_logging_tool", log)
	tell(s, "test_tool_with_progress", func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if req.Params.Meta != nil && req.Params.Meta.ProgressToken != nil {
			for _, done := range []int{0, 50, 100} {
				mcpserver.Notified(ctx)
				if err := s.SendNotificationToClient(ctx, string(mcp.MethodNotificationProgress),
					map[string]any{"progressToken": req.Params.Meta.ProgressToken, "progress": done, "total": 100}); err != nil {
					return nil, err
				}
				mcpserver.Settle(ctx)
			}
		}
		return mcp.NewToolResultText("Progress was told."), nil
	})
}

// changes are tools that change what is offered.
func changes(s *server.MCPServer) {
	tell(s, "test_trigger_tool_change", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		tell(s, "test_passing_tool", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText("ok"), nil
		})
		s.DeleteTools("test_passing_tool")
		return mcp.NewToolResultText("A tool came and went."), nil
	})
	tell(s, "test_trigger_prompt_change", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		say(s, "test_passing_prompt", mcp.NewTextContent("ok"))
		s.DeletePrompts("test_passing_prompt")
		return mcp.NewToolResultText("A prompt came and went."), nil
	})
}

func resources(s *server.MCPServer) {
	for uri, content := range map[string]mcp.ResourceContents{
		"test://static-text":      mcp.TextResourceContents{URI: "test://static-text", MIMEType: "text/plain", Text: "This is the content of the static text resource."},
		"test://static-binary":    mcp.BlobResourceContents{URI: "test://static-binary", MIMEType: "image/png", Blob: picture},
		"test://watched-resource": mcp.TextResourceContents{URI: "test://watched-resource", MIMEType: "text/plain", Text: "Nothing happens here."},
	} {
		s.AddResource(mcp.NewResource(uri, strings.TrimPrefix(uri, "test://"), mcp.WithResourceDescription("A fixture of the conformance suite")),
			func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
				return []mcp.ResourceContents{content}, nil
			})
	}
	s.AddResourceTemplate(mcp.NewResourceTemplate("test://template/{id}/data", "template", mcp.WithTemplateDescription("A fixture of the conformance suite")),
		func(_ context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			id := strings.TrimSuffix(strings.TrimPrefix(req.Params.URI, "test://template/"), "/data")
			return []mcp.ResourceContents{mcp.TextResourceContents{URI: req.Params.URI, MIMEType: "application/json",
				Text: fmt.Sprintf(`{"id":%q,"templateTest":true,"data":"Data for ID: %s"}`, id, id)}}, nil
		})
}

// say adds a prompt of those contents.
func say(s *server.MCPServer, name string, contents ...mcp.Content) {
	s.AddPrompt(mcp.NewPrompt(name, mcp.WithPromptDescription("A fixture of the conformance suite")), func(context.Context, mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return said(contents...), nil
	})
}

func said(contents ...mcp.Content) *mcp.GetPromptResult {
	r := &mcp.GetPromptResult{}
	for _, c := range contents {
		r.Messages = append(r.Messages, mcp.NewPromptMessage(mcp.RoleUser, c))
	}
	return r
}

func prompts(s *server.MCPServer) {
	say(s, "test_simple_prompt", mcp.NewTextContent("This is a simple prompt for testing."))
	say(s, "test_prompt_with_image", mcp.NewImageContent(picture, "image/png"), mcp.NewTextContent("Please analyze the image above."))
	argument := func(name string) mcp.PromptOption {
		return mcp.WithArgument(name, mcp.ArgumentDescription("an argument of a fixture"), mcp.RequiredArgument())
	}
	s.AddPrompt(mcp.NewPrompt("test_prompt_with_arguments", mcp.WithPromptDescription("A fixture"), argument("arg1"), argument("arg2")),
		func(_ context.Context, req mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			a := req.Params.Arguments
			return said(mcp.NewTextContent(fmt.Sprintf("Prompt with arguments: arg1='%s', arg2='%s'", a["arg1"], a["arg2"]))), nil
		})
	s.AddPrompt(mcp.NewPrompt("test_prompt_with_embedded_resource", mcp.WithPromptDescription("A fixture"), argument("resourceUri")),
		func(_ context.Context, req mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			uri := req.Params.Arguments["resourceUri"]
			if uri == "" {
				return nil, errors.New("resourceUri is missing")
			}
			return said(mcp.NewEmbeddedResource(mcp.TextResourceContents{URI: uri, MIMEType: "text/plain", Text: "Embedded resource content for testing."}),
				mcp.NewTextContent("Please process the embedded resource above.")), nil
		})
}
