package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// access is who may use an endpoint: the permission matrix of contract 1.1.
type access int

const (
	// accessViewset: anybody reads, a token writes; refusals are 403.
	accessViewset access = iota + 1
	// accessOpen: anybody reads and writes, a token is not looked at.
	accessOpen
	// accessTokenOnly: a token for everything; refusals are 401.
	accessTokenOnly
	// accessFunction: a token for everything; refusals are 403.
	accessFunction
	// accessStream: a token for everything; refusals are 401, in one text
	// whatever the reason.
	accessStream
)

// maxBody is how long a request's body may be.
func (x access) maxBody() int64 {
	if x == accessOpen {
		return maxOpenBody
	}
	return maxBody
}

// methodFirst reports whether a wrong method is told before a missing token.
func (x access) methodFirst() bool {
	return x == accessTokenOnly || x == accessFunction || x == accessStream
}

const noCredentials = "Authentication credentials were not provided."

// anybody writes everything: who sends the shared token, or is not asked for
// one.
var anybody = swf.Principal{Operator: true}

// authorize applies the rule and returns who is asking; its error is a
// *problem.
func (a *api) authorize(r *http.Request, x access) (swf.Principal, error) {
	if x == accessOpen && a.closed {
		x = accessFunction
	}
	if a.open || x == accessOpen {
		return anybody, nil
	}
	who, known, refusal := a.authenticate(r)
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if known && (reads || !who.ReadOnly) {
		return who, nil
	}
	switch {
	case known:
		return who, detail(http.StatusForbidden, "This token may only read.")
	case refusal == "" && x == accessViewset && reads:
		return who, nil
	case refusal == "" || x == accessStream:
		refusal = noCredentials
	}
	if x == accessTokenOnly || x == accessStream {
		p := detail(http.StatusUnauthorized, refusal)
		p.header = http.Header{"Www-Authenticate": {"Token"}}
		return who, p
	}
	return who, detail(http.StatusForbidden, refusal)
}

// authenticate looks at the Authorization header. Another scheme than Token is
// as good as none; a wrong Token is refused with a text.
func (a *api) authenticate(r *http.Request) (who swf.Principal, known bool, refusal string) {
	parts := strings.Fields(r.Header.Get("Authorization"))
	if len(parts) == 0 || !strings.EqualFold(parts[0], "Token") {
		return who, false, ""
	}
	switch len(parts) {
	case 1:
		return who, false, "Invalid token header. No credentials provided."
	case 2:
	default:
		return who, false, "Invalid token header. Token string should not contain spaces."
	}
	if got := sha256.Sum256([]byte(parts[1])); subtle.ConstantTimeCompare(got[:], a.shared[:]) == 1 {
		return anybody, true, "" // nobody sends an empty one: the header has a second part
	}
	if a.lookup != nil {
		who, known = a.lookup(parts[1])
	}
	if !known {
		return swf.Principal{}, false, "Invalid token."
	}
	return who, true, ""
}
