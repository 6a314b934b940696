package mcpserver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// How long a person may think. The call waits for an old client's answer; a
// modern one calls again.
const (
	thinkTime = 2 * time.Minute
	stateTime = 10 * time.Minute
)

// inputID names the one question of a call.
const inputID = "confirm"

// call calls a tool and, where it wants a person's consent and the client can
// ask one, has them asked: by a request of the server's own before 2026-07-28,
// since then by a result that says what to ask and a call that brings the answer.
// Where nobody can be asked the result stands as it is and says what to do.
func (s *Server) call(ctx context.Context, t tools.Tool, p swf.Principal, req mcp.CallToolRequest, tell func(string)) (tools.Result, *mcp.CallToolResult) {
	args := req.Params.Arguments
	if consent, ok := s.answered(p, t, req); ok {
		ctx = tools.WithConsent(ctx, consent)
	}
	r := t.Call(ctx, p, args, tell)
	if r.Confirm == nil {
		return r, nil
	}
	question := mcp.ElicitationParams{Mode: mcp.ElicitationModeForm, Message: r.Confirm.Question,
		RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{}}} // to accept is the answer
	if info := server.RequestProtocolInfoFromContext(ctx); info != nil && info.Modern {
		if info.ClientCapabilities == nil || !asksForms(info.ClientCapabilities.Elicitation) {
			return r, nil
		}
		return r, server.NewInputRequestBuilder(s.state(p, t, args, r.Confirm.Question)).Elicit(inputID, question).ToolResult()
	}
	consent, asked := s.ask(ctx, question)
	if !asked {
		return r, nil
	}
	return t.Call(tools.WithConsent(ctx, consent), p, args, tell), nil
}

// ask puts the question to the person behind an old client. asked is false
// where there is no answer: the client cannot ask, or the person does not say.
func (s *Server) ask(ctx context.Context, question mcp.ElicitationParams) (c tools.Consent, asked bool) {
	session := server.ClientSessionFromContext(ctx)
	known, ok := session.(server.SessionWithClientInfo)
	if !ok || !asksForms(known.GetClientCapabilities().Elicitation) {
		return c, false
	}
	if _, ok := session.(server.SessionWithElicitation); !ok {
		return c, false
	}
	ctx, cancel := context.WithTimeout(ctx, thinkTime)
	defer cancel()
	answer, err := s.mcp.RequestElicitation(ctx, mcp.ElicitationRequest{Request: mcp.Request{Method: string(mcp.MethodElicitationCreate)}, Params: question})
	if err != nil || answer == nil {
		s.log.Info("the person was not asked", "err", err)
		return c, false
	}
	return tools.Consent{Question: question.Message, Given: answer.Action == mcp.ElicitationResponseActionAccept}, true
}

// asksForms reports whether a client can put a question to its person. One
// that names no mode has the first there was.
func asksForms(c *mcp.ElicitationCapability) bool {
	return c != nil && (c.Form != nil || c.URL == nil)
}

// state is what a modern client brings back with the answer: the question, and
// for whose call it is good and how long, under a signature. A client could
// say confirm=true as well; but what the person saw cannot be passed off as
// consent to something else.
func (s *Server) state(p swf.Principal, t tools.Tool, args any, question string) string {
	b, _ := json.Marshal(asked{Question: question, Until: time.Now().Add(stateTime).Unix(), Call: callDigest(p, t, args)})
	body := base64.RawURLEncoding.EncodeToString(b)
	return body + "." + s.seal(body)
}

// asked is a question under way.
type asked struct {
	Question string `json:"q"`
	Until    int64  `json:"until"`
	Call     string `json:"call"`
}

func (s *Server) seal(body string) string {
	h := hmac.New(sha256.New, s.o.StateKey)
	h.Write([]byte(body))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func callDigest(p swf.Principal, t tools.Tool, args any) string {
	b, _ := json.Marshal([]any{p.Name, t.Name, args}) // sorted keys
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// answered reads what a modern client brings back. Whatever is not exactly
// the answer to our own question is as good as none: the tool asks again.
func (s *Server) answered(p swf.Principal, t tools.Tool, req mcp.CallToolRequest) (tools.Consent, bool) {
	answer := server.ElicitationResponse(req.Params.InputResponses, inputID)
	body, seal, _ := strings.Cut(req.Params.RequestState, ".")
	if answer == nil || !hmac.Equal([]byte(seal), []byte(s.seal(body))) {
		return tools.Consent{}, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	var a asked
	if err != nil || json.Unmarshal(raw, &a) != nil || a.Call != callDigest(p, t, req.Params.Arguments) || time.Now().Unix() > a.Until {
		return tools.Consent{}, false
	}
	return tools.Consent{Question: a.Question, Given: answer.Action == mcp.ElicitationResponseActionAccept}, true
}
