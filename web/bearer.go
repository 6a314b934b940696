package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

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

// Auth says which bearer tokens are good: those that Lookup knows, and those
// of an authorization server. With neither, no token is asked for.
type Auth struct {
	// Lookup must be safe for concurrent use, and tell nothing by its time.
	Lookup func(token string) (swf.Principal, bool)
	OAuth  *OAuth
	// Recheck is how often the token of a GET that has not ended is looked at
	// again, since streams may outlive their token; default 15 s.
	Recheck time.Duration
}

// Bearer is Auth for a Lookup alone. A nil lookup asks for no token.
func Bearer(next http.Handler, lookup func(token string) (swf.Principal, bool)) http.Handler {
	return Auth{Lookup: lookup}.Handler(next)
}

// Needed reports whether a token is asked for at all.
func (a Auth) Needed() bool { return a.Lookup != nil || a.OAuth != nil }

// Handler lets a request through when its Authorization header holds a good
// token, with the principal in its context; else it answers 401, or 403 where
// an access token's scope does not reach, with WWW-Authenticate (RFC 6750 and
// 9728), whatever the method. A stream ends soon after its token does.
func (a Auth) Handler(next http.Handler) http.Handler {
	if a.Recheck == 0 {
		a.Recheck = 15 * time.Second
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tokenInQuery(r) {
			a.challenge(w, http.StatusUnauthorized, "invalid_request", "a token does not belong in the URL")
			return
		}
		if !a.Needed() {
			next.ServeHTTP(w, r)
			return
		}
		token := bearerToken(r)
		if token == "" {
			a.challenge(w, http.StatusUnauthorized, "", "a bearer token is needed")
			return
		}
		p, err := a.principal(r.Context(), token)
		switch {
		case errors.Is(err, errScope):
			a.InsufficientScope(w)
			return
		case errors.Is(err, errNoKeys):
			w.Header().Set("Retry-After", "10")
			WriteError(w, http.StatusServiceUnavailable, swf.E(swf.CodeUnauthenticated, "access tokens cannot be checked now: "+errNoKeys.Error(), "try again in a while"))
			return
		case err != nil:
			a.challenge(w, http.StatusUnauthorized, "invalid_token", "the bearer token is not valid")
			return
		}
		noteWho(r.Context(), p)
		ctx := WithPrincipal(r.Context(), p)
		if r.Method == http.MethodGet {
			var end context.CancelFunc
			ctx, end = a.whileGood(ctx, token, p)
			defer end()
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (a Auth) principal(ctx context.Context, token string) (swf.Principal, error) {
	if a.Lookup != nil {
		if p, ok := a.Lookup(token); ok {
			return p, nil
		}
	}
	if a.OAuth != nil && strings.Count(token, ".") == 2 {
		return a.OAuth.verify(ctx, token)
	}
	return swf.Principal{}, errBadToken
}

// whileGood returns a context that also ends when the token is good no more, or
// makes its owner somebody else.
func (a Auth) whileGood(ctx context.Context, token string, p swf.Principal) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		tick := time.NewTicker(a.Recheck)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if now, err := a.principal(ctx, token); !errors.Is(err, errNoKeys) && (err != nil || now != p) {
					cancel()
				}
			}
		}
	}()
	return ctx, cancel
}

// InsufficientScope answers 403 to a principal that may look and wants more.
func (a Auth) InsufficientScope(w http.ResponseWriter) {
	a.challenge(w, http.StatusForbidden, "insufficient_scope", "this token may not do that")
}

// challenge answers with WWW-Authenticate.
func (a Auth) challenge(w http.ResponseWriter, status int, code, message string) {
	var params []string
	if code != "" {
		params = append(params, `error="`+code+`"`)
	}
	if a.OAuth != nil {
		params = append(params, `scope="`+scopes+`"`, `resource_metadata="`+a.OAuth.MetadataURL()+`"`)
	} else if status == http.StatusForbidden {
		params = append(params, `scope="`+scopes+`"`)
	}
	w.Header().Set("WWW-Authenticate", strings.TrimSpace("Bearer "+strings.Join(params, ", ")))
	e := swf.E(swf.CodeUnauthenticated, message, "send the header Authorization: Bearer TOKEN, with the token of this server")
	if status == http.StatusForbidden {
		e = swf.E(swf.CodeForbidden, message, "ask who runs the server for a token of the role user, or with the scope "+ScopeControl)
	}
	WriteError(w, status, e)
}

// queryTokens are the query parameters in which people put tokens; a URL ends
// in logs and histories, so such a request is refused even with a good header.
var queryTokens = []string{"token", "access_token", "api_key", "apikey", "authorization", "bearer"}

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
