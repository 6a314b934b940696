package api

import (
	"net/http"
	"strings"
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

// authorize applies the rule; its error is a *problem. Tokens are
// compared as digests in constant time.
func (a *api) authorize(r *http.Request, x access) error {
	if a.open || x == accessOpen {
		return nil
	}
	known, refusal := a.authenticate(r)
	if known {
		return nil
	}
	if refusal == "" {
		if x == accessViewset && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			return nil
		}
		refusal = noCredentials
	}
	if x == accessStream {
		refusal = noCredentials
	}
	if x == accessTokenOnly || x == accessStream {
		p := detail(http.StatusUnauthorized, refusal)
		p.header = http.Header{"Www-Authenticate": {"Token"}}
		return p
	}
	return detail(http.StatusForbidden, refusal)
}

// authenticate looks at the Authorization header. Another scheme than Token is
// as good as none; a wrong Token is refused with a text.
func (a *api) authenticate(r *http.Request) (known bool, refusal string) {
	parts := strings.Fields(r.Header.Get("Authorization"))
	if len(parts) == 0 || !strings.EqualFold(parts[0], "Token") {
		return false, ""
	}
	switch {
	case len(parts) == 1:
		return false, "Invalid token header. No credentials provided."
	case len(parts) > 2:
		return false, "Invalid token header. Token string should not contain spaces."
	case !a.tokenValid(parts[1]):
		return false, "Invalid token."
	}
	return true, ""
}
