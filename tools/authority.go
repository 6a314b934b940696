package tools

import (
	"fmt"

	"github.com/epic-swf/testbed/swf"
)

// Authority is decided here and nowhere else, below every transport and
// protocol version: mayCall says who may call what, target on whose testbed,
// scope (scope.go) what a list or a look shows of others. Nothing of it depends
// on whether the other user, testbed or execution exists, so an answer tells
// nobody that it does.

// mayCall decides whether the principal may call a tool of that effect at all.
func mayCall(p swf.Principal, tool string, effect Effect) *swf.Error {
	if swf.CheckName(swf.KindUsername, p.Name) != nil {
		return swf.E(swf.CodeUnauthenticated, "it is not known who is asking", "call with a bearer token, or over stdio as a user of this system")
	}
	if p.ReadOnly && effect != Looks {
		return swf.E(swf.CodeForbidden, fmt.Sprintf("%s may only look, and %s changes something", p.Name, tool),
			"ask for a token of the role user or the scope testbed:control, or have somebody else do it")
	}
	return nil
}

// target decides whose testbed the call is about, if the principal may act on
// it.
func target(p swf.Principal, username string) (string, *swf.Error) {
	if username == "" {
		return p.Name, nil
	}
	if err := swf.CheckName(swf.KindUsername, username); err != nil {
		return p.Name, swf.AsError(err)
	}
	if !p.MayActOn(username) {
		return username, swf.E(swf.CodeForbidden, fmt.Sprintf("%s may not act on the testbed of %s", p.Name, username),
			"leave username out to act on your own testbed; acting on another user's takes the operator role")
	}
	return username, nil
}

// only is target for the argument username of a list: "" is all that the
// principal may see.
func only(p swf.Principal, username string) *swf.Error {
	_, err := target(p, username)
	if err != nil && err.Code == swf.CodeForbidden {
		err.Hint = "leave username out to see your own and what is in your namespaces; other users' take the operator role"
	}
	return err
}
