package conformance

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// rounds are tools and a prompt that need something of the client before they
// can answer. The library asks by requests of its own where the client's
// revision knows no other way.
func rounds(s *server.MCPServer) {
	elicitations(s)
	question(s)
	states(s)
	several(s)
	s.AddPrompt(mcp.NewPrompt("test_input_required_result_prompt", mcp.WithPromptDescription("A fixture")), func(_ context.Context, req mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		if e := server.ElicitationResponse(req.Params.InputResponses, "user_context"); e != nil {
			return said(mcp.NewTextContent(fmt.Sprint("The context is ", e.Content))), nil
		}
		return server.NewInputRequestBuilder("").Elicit("user_context", form("What context should the prompt use?", "context")).PromptResult(), nil
	})
}

// form asks for texts.
func form(message string, names ...string) mcp.ElicitationParams {
	properties := map[string]any{}
	for _, name := range names {
		properties[name] = map[string]any{"type": "string", "description": "the " + name}
	}
	return mcp.ElicitationParams{Message: message, RequestedSchema: map[string]any{"type": "object", "properties": properties, "required": names}}
}

// choices are the kinds of choosing that SEP-1330 names.
var choices = json.RawMessage(`{"type": "object", "properties": {
	"untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
	"titledSingle": {"type": "string", "oneOf": [{"const": "value1", "title": "First Option"}, {"const": "value2", "title": "Second Option"}]},
	"legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
	"untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
	"titledMulti": {"type": "array", "items": {"anyOf": [{"const": "value1", "title": "First Choice"}, {"const": "value2", "title": "Second Choice"}]}}
}}`)

var defaults = json.RawMessage(`{"type": "object", "properties": {
	"name": {"type": "string", "default": "John Doe"},
	"age": {"type": "integer", "default": 30},
	"score": {"type": "number", "default": 95.5},
	"status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
	"verified": {"type": "boolean", "default": true}
}}`)

// elicitations are tools that ask the person once.
func elicitations(s *server.MCPServer) {
	ask := func(name, id, answer string, params func(mcp.CallToolRequest) mcp.ElicitationParams, options ...mcp.ToolOption) {
		tell(s, name, func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			if e := server.ElicitationResponse(req.Params.InputResponses, id); e != nil && e.Action != "" {
				content, _ := json.Marshal(e.Content)
				return mcp.NewToolResultText(fmt.Sprintf("%s: action=%s, content=%s", answer, e.Action, content)), nil
			}
			return server.NewInputRequestBuilder("").Elicit(id, params(req)).ToolResult(), nil
		}, options...)
	}
	fixed := func(p mcp.ElicitationParams) func(mcp.CallToolRequest) mcp.ElicitationParams {
		return func(mcp.CallToolRequest) mcp.ElicitationParams { return p }
	}
	ask("test_elicitation", "answer", "User response", func(req mcp.CallToolRequest) mcp.ElicitationParams {
		return form(req.GetString("message", ""), "username", "email")
	}, mcp.WithString("message", mcp.Required(), mcp.Description("what to show the person")))
	ask("test_elicitation_sep1034_defaults", "answer", "Elicitation completed", fixed(mcp.ElicitationParams{Message: "Tell about yourself", RequestedSchema: defaults}))
	ask("test_elicitation_sep1330_enums", "answer", "Elicitation completed", fixed(mcp.ElicitationParams{Message: "Choose", RequestedSchema: choices}))
	ask("test_streaming_elicitation", "answer", "Elicitation completed", fixed(form("Who?", "name")))
	ask("test_input_required_result_elicitation", "user_name", "Hello", fixed(form("What is your name?", "name")))
}

// sample asks the client's model.
func sample(text string, tokens int) mcp.CreateMessageParams {
	return mcp.CreateMessageParams{Messages: []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent(text)}}, MaxTokens: tokens}
}

// sampled is what the client's model said.
func sampled(r *mcp.CreateMessageResult) string {
	if text, ok := r.Content.(mcp.TextContent); ok {
		return text.Text
	}
	return fmt.Sprint(r.Content)
}

// question are tools that ask the client's model, or for its roots.
func question(s *server.MCPServer) {
	ask := func(name, id string, params func(mcp.CallToolRequest) mcp.CreateMessageParams, options ...mcp.ToolOption) {
		tell(s, name, func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			if r := server.SamplingResponse(req.Params.InputResponses, id); r != nil {
				return mcp.NewToolResultText("LLM response: " + sampled(r)), nil
			}
			return server.NewInputRequestBuilder("").Sample(id, params(req)).ToolResult(), nil
		}, options...)
	}
	ask("test_sampling", "answer", func(req mcp.CallToolRequest) mcp.CreateMessageParams { return sample(req.GetString("prompt", ""), 100) },
		mcp.WithString("prompt", mcp.Required(), mcp.Description("what to ask")))
	ask("test_input_required_result_sampling", "capital_question", func(mcp.CallToolRequest) mcp.CreateMessageParams {
		return sample("What is the capital of France?", 100)
	})
	tell(s, "test_input_required_result_list_roots", func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if r := server.RootsResponse(req.Params.InputResponses, "client_roots"); r != nil {
			return mcp.NewToolResultText(fmt.Sprint("The roots: ", r.Roots)), nil
		}
		return server.NewInputRequestBuilder("").Roots("client_roots").ToolResult(), nil
	})
}

// state is what travels with the client between two rounds.
func state(text string) string {
	mac := hmac.New(sha256.New, []byte("a key of the fixtures"))
	mac.Write([]byte(text))
	return text + "." + hex.EncodeToString(mac.Sum(nil))
}

// stateOf returns what a state says, and whether it is one of ours.
func stateOf(given string) (string, bool) {
	text, _, _ := strings.Cut(given, ".")
	return text, hmac.Equal([]byte(given), []byte(state(text)))
}

var errTampered = errors.New("the state of the request was changed on its way")

// states are tools that carry a state from round to round.
func states(s *server.MCPServer) {
	confirm := mcp.ElicitationParams{Message: "Please confirm", RequestedSchema: map[string]any{"type": "object",
		"properties": map[string]any{"ok": map[string]any{"type": "boolean"}}, "required": []string{"ok"}}}
	confirmed := func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if server.ElicitationResponse(req.Params.InputResponses, "confirm") == nil {
			return server.NewInputRequestBuilder(state("confirm")).Elicit("confirm", confirm).ToolResult(), nil
		}
		if text, ok := stateOf(req.Params.RequestState); !ok || text != "confirm" {
			return nil, errTampered
		}
		return mcp.NewToolResultText("state-ok"), nil
	}
	tell(s, "test_input_required_result_request_state", confirmed)
	tell(s, "test_input_required_result_tampered_state", confirmed)
	tell(s, "test_input_required_result_multi_round", func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		at, ok := stateOf(req.Params.RequestState)
		switch {
		case req.Params.RequestState == "":
			return server.NewInputRequestBuilder(state("one")).Elicit("step1", form("Step 1: What is your name?", "name")).ToolResult(), nil
		case !ok:
			return nil, errTampered
		case at == "one":
			return server.NewInputRequestBuilder(state("two")).Elicit("step2", form("Step 2: What is your favorite color?", "color")).ToolResult(), nil
		}
		return mcp.NewToolResultText("Both steps are done."), nil
	})
}

// several ask for more than one thing at once.
func several(s *server.MCPServer) {
	tell(s, "test_input_required_result_multiple_inputs", func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		given := req.Params.InputResponses
		name, greeting, roots := server.ElicitationResponse(given, "user_name"), server.SamplingResponse(given, "greeting"), server.RootsResponse(given, "client_roots")
		if name == nil || greeting == nil || roots == nil {
			return server.NewInputRequestBuilder(state("several")).Elicit("user_name", form("What is your name?", "name")).
				Sample("greeting", sample("Generate a greeting", 50)).Roots("client_roots").ToolResult(), nil
		}
		if _, ok := stateOf(req.Params.RequestState); !ok {
			return nil, errTampered
		}
		return mcp.NewToolResultText(fmt.Sprint(sampled(greeting), name.Content, roots.Roots)), nil
	})
	tell(s, "test_input_required_result_capabilities", func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if len(req.Params.InputResponses) > 0 {
			return mcp.NewToolResultText("Thank you."), nil
		}
		info := server.RequestProtocolInfoFromContext(ctx)
		if info == nil || info.ClientCapabilities == nil {
			return mcp.NewToolResultText("The client can do nothing."), nil
		}
		b := server.NewInputRequestBuilder("")
		if info.ClientCapabilities.Elicitation != nil {
			b.Elicit("user_name", form("What is your name?", "name"))
		}
		if info.ClientCapabilities.Sampling != nil {
			b.Sample("greeting", sample("Generate a greeting", 50))
		}
		return b.ToolResult(), nil
	})
}
