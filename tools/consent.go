package tools

import (
	"context"
	"fmt"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// Confirmation is what to ask a person before a call is repeated.
type Confirmation struct {
	Question string // complete: it says what would be lost
}

// Consent is what a person answered to the Question of a Confirmation.
type Consent struct {
	Question string
	Given    bool
}

type consentKey struct{}

// WithConsent returns a context that carries a person's answer. It counts for
// the very question that they saw: when meanwhile more would be lost, the tool
// asks anew.
func WithConsent(ctx context.Context, c Consent) context.Context {
	return context.WithValue(ctx, consentKey{}, c)
}

// settled looks whether the person has answered that question: nil to go on,
// an Error that they declined; asked is false when they have not.
func settled(ctx context.Context, question string) (err *swf.Error, asked bool) {
	c, ok := ctx.Value(consentKey{}).(Consent)
	switch {
	case !ok || c.Question != question:
		return nil, false
	case c.Given:
		return nil, true
	}
	return swf.E(swf.CodeCancelled, "the person was asked and declined; nothing was stopped", "leave it; call again only if they ask for it"), true
}

// question puts what would be lost to a person.
func question(username string, loss *swf.Error) string {
	return fmt.Sprintf("Stop the testbed of %s? %s.", username, strings.ToUpper(loss.Message[:1])+loss.Message[1:])
}
