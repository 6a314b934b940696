package tools

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// noTool is the answer to a call of a tool that is not there.
type noTool struct {
	Success bool       `json:"success"` // never
	Error   *swf.Error `json:"error"`
}

// NoTool answers a call of a tool that is not among the offered ones, with what
// was probably meant. A tool that is left out for this caller answers like one
// that nobody has ever heard of.
func NoTool(name string, offered []string) Result {
	return refusal(unknownTool(name, offered))
}

// NoTool is the same, limited and on the record as the calls of tools are.
func (s *Set) NoTool(ctx context.Context, p swf.Principal, name string, offered []string) Result {
	c := s.begin(ctx, p, unknownToolLabel, Looks)
	err := s.limiter.enter(p.Name)
	if err == nil {
		defer s.limiter.leave(p.Name)
		err = unknownTool(name, offered)
	}
	s.audit(c, facts{err: err})
	return refusal(err)
}

// unknownToolLabel stands for all names that are no tool's, in the trail and in
// the metrics: callers make them up.
const unknownToolLabel = "unknown_tool"

func unknownTool(name string, offered []string) *swf.Error {
	hint := "the tools are " + strings.Join(offered, ", ")
	if near := swf.Nearest(name, slices.Sorted(slices.Values(offered))); near != "" {
		hint = fmt.Sprintf("did you mean %s? %s", near, hint)
	}
	return swf.E(swf.CodeInvalidArgument, "there is no tool "+quote(name), hint)
}

func refusal(err *swf.Error) Result {
	var text strings.Builder
	writeError(&text, err)
	return Result{Value: noTool{Error: err}, Text: text.String(), Failed: true}
}
