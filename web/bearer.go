package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

type principalKey struct{}

// WithPrincipal returns a context that carries who is asking.
func WithPrincipal(ctx context.Context, p swf.Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom returns who is asking, if anything has said so.
func PrincipalFrom(ctx context.Context) (swf.Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(swf.Principal)
	return p, ok
}

// queryTokens are the query parameters in which people put tokens; a URL ends
// in logs and histories, so such a request is refused even with a good header.
var queryTokens = []string{"token", "access_token", "api_key", "apikey", "authorization", "bearer"}

// Bearer lets a request through when its Authorization header holds a token
// that lookup knows, with the principal in its context; else it answers 401
// with WWW-Authenticate, whatever the method. A nil lookup asks for no token.
// lookup must compare in constant time and be safe for concurrent use.
func Bearer(next http.Handler, lookup func(token string) (swf.Principal, bool)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tokenInQuery(r) {
			unauthenticated(w, `Bearer error="invalid_request"`, "a token does not belong in the URL")
			return
		}
		if lookup == nil {
			next.ServeHTTP(w, r)
			return
		}
		token := bearerToken(r)
		if token == "" {
			unauthenticated(w, "Bearer", "a bearer token is needed")
			return
		}
		p, ok := lookup(token)
		if !ok {
			unauthenticated(w, `Bearer error="invalid_token"`, "the bearer token is not valid")
			return
		}
		next.ServeHTTP(w, r.WithContext(WithPrincipal(r.Context(), p)))
	})
}

func bearerToken(r *http.Request) string {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || strings.ContainsAny(token, " \t") {
		return ""
	}
	return token
}

func tokenInQuery(r *http.Request) bool {
	if r.URL.RawQuery == "" {
		return false
	}
	for name := range r.URL.Query() {
		for _, refused := range queryTokens {
			if strings.EqualFold(name, refused) {
				return true
			}
		}
	}
	return false
}

func unauthenticated(w http.ResponseWriter, challenge, message string) {
	w.Header().Set("WWW-Authenticate", challenge)
	WriteError(w, http.StatusUnauthorized, swf.E(swf.CodeUnauthenticated, message,
		"send the header Authorization: Bearer TOKEN, with the token of this server"))
}
