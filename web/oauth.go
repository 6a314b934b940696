package web

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/epic-swf/testbed/swf"
)

// The scopes of access tokens.
const (
	ScopeRead    = "testbed:read"    // look at what the user may see
	ScopeControl = "testbed:control" // and change it
)

const (
	scopes     = ScopeRead + " " + ScopeControl
	clockSlack = 30 * time.Second
	// metadataPath is where RFC 9728 puts the metadata of a resource: before
	// the resource's own path.
	metadataPath = "/.well-known/oauth-protected-resource"
)

// OAuthOptions say whose access tokens are good. All but Log, Client and Now
// are needed.
type OAuthOptions struct {
	Issuer        string   // the claim iss, and where the keys are found
	Resource      string   // our URL as clients know it; the claim aud must name it
	JWKS          string   // where the keys are, if the issuer's metadata shall not say
	UsernameClaim string   // the claim that names the user
	Algorithms    []string // of signatures; asymmetric ones
	Operators     []string // users who may act for everybody

	Log    *slog.Logger
	Client *http.Client // default: 5 s, no redirects
	Now    func() time.Time
}

// OAuth is this server as a protected resource: OAuth 2.1, access tokens as
// JWT (RFC 9068), metadata (RFC 9728). Safe for concurrent use.
type OAuth struct {
	o    OAuthOptions
	algs []jose.SignatureAlgorithm
	keys *keySet
}

// NewOAuth makes one. Nothing is asked of the issuer before the first token.
func NewOAuth(o OAuthOptions) *OAuth {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	a := &OAuth{o: o, keys: &keySet{issuer: o.Issuer, url: o.JWKS, client: o.Client, log: o.Log, now: o.Now}}
	for _, alg := range o.Algorithms {
		a.algs = append(a.algs, jose.SignatureAlgorithm(alg))
	}
	return a
}

// Why a token is not good enough.
var (
	errBadToken = errors.New("the access token is not valid here")
	errScope    = errors.New("the access token's scope does not reach")
)

// verify checks everything about a token and returns whose it is. Errors are
// errBadToken, errScope and errNoKeys; the log says more.
func (a *OAuth) verify(ctx context.Context, raw string) (swf.Principal, error) {
	p, err := a.check(ctx, raw)
	if err != nil && !errors.Is(err, errNoKeys) {
		a.o.Log.Debug("an access token was refused", "err", err)
	}
	return p, err
}

func (a *OAuth) check(ctx context.Context, raw string) (p swf.Principal, err error) {
	bad := func(why error) (swf.Principal, error) { return swf.Principal{}, errors.Join(errBadToken, why) }
	token, err := jwt.ParseSigned(raw, a.algs)
	if err != nil {
		return bad(err)
	}
	head := token.Headers[0]
	if typ, _ := head.ExtraHeaders[jose.HeaderType].(string); !slices.Contains([]string{"", "jwt", "at+jwt", "application/at+jwt"}, strings.ToLower(typ)) {
		return bad(errors.New("of another type"))
	}
	keys, err := a.keys.find(ctx, head.KeyID, head.Algorithm)
	if err != nil {
		return p, err
	}
	var std jwt.Claims
	var all map[string]json.RawMessage
	err = errors.New("signed with an unknown key")
	for _, k := range keys {
		if err = token.Claims(k.Key, &std, &all); err == nil {
			break
		}
	}
	if err != nil {
		return bad(err)
	}
	if err := std.ValidateWithLeeway(jwt.Expected{Issuer: a.o.Issuer, AnyAudience: jwt.Audience{a.o.Resource}, Time: a.o.Now()}, clockSlack); err != nil {
		return bad(err)
	}
	if std.Expiry == nil {
		return bad(errors.New("without an end"))
	}
	var name string
	if json.Unmarshal(all[a.o.UsernameClaim], &name) != nil || swf.CheckName(swf.KindUsername, name) != nil {
		return bad(errors.New("without a user name in " + a.o.UsernameClaim))
	}
	granted := scopesOf(all)
	if !slices.Contains(granted, ScopeRead) && !slices.Contains(granted, ScopeControl) {
		return p, errScope
	}
	return swf.Principal{Name: name, Operator: slices.Contains(a.o.Operators, name), ReadOnly: !slices.Contains(granted, ScopeControl)}, nil
}

// scopesOf reads scope (RFC 9068), or scp as some servers call it: a text with
// blanks, or a list.
func scopesOf(claims map[string]json.RawMessage) (granted []string) {
	for _, name := range []string{"scope", "scp"} {
		var text string
		var list []string
		if json.Unmarshal(claims[name], &text) == nil {
			granted = append(granted, strings.Fields(text)...)
		} else if json.Unmarshal(claims[name], &list) == nil {
			granted = append(granted, list...)
		}
	}
	return granted
}

// MetadataURL is where clients find Metadata.
func (a *OAuth) MetadataURL() string {
	u, err := url.Parse(a.o.Resource)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host + metadataPath + strings.TrimSuffix(u.Path, "/")
}

// Metadata serves the document of RFC 9728, to everybody: it is how a client
// without a token learns where to get one. Mount it at MetadataPaths.
func (a *OAuth) Metadata() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			WriteError(w, http.StatusMethodNotAllowed, swf.E(swf.CodeInvalidArgument, "this document can only be read", "send GET"))
			return
		}
		WriteJSON(w, http.StatusOK, map[string]any{
			"resource": a.o.Resource, "authorization_servers": []string{a.o.Issuer}, "scopes_supported": strings.Fields(scopes),
			"bearer_methods_supported": []string{"header"}, "resource_name": "ePIC streaming workflow testbed",
		})
	})
}

// MetadataPaths are the paths at which clients look for Metadata.
func (a *OAuth) MetadataPaths() []string {
	paths := []string{metadataPath}
	if u, err := url.Parse(a.o.Resource); err == nil && strings.Trim(u.Path, "/") != "" {
		paths = append(paths, metadataPath+strings.TrimSuffix(u.Path, "/"))
	}
	return paths
}
