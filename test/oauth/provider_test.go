package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	clientID = "assistant"
	callback = "http://127.0.0.1/callback" // nobody listens: the test reads the redirection itself
)

// provider is an authorization server with one public client and one user, who
// consents to everything at once.
type provider struct {
	op.Storage // nothing else of it is used

	url      string
	audience string

	mu       sync.Mutex
	user     string
	lifetime time.Duration
	keys     []*key // the last one signs
	requests map[string]*request
	codes    map[string]string
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{user: "ann", lifetime: time.Hour, requests: map[string]*request{}, codes: map[string]string{}}
	p.rotate(t)
	var h http.Handler
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	t.Cleanup(s.Close)
	p.url = s.URL
	var crypto [32]byte
	_, _ = rand.Read(crypto[:])
	server, err := op.NewProvider(&op.Config{CryptoKey: crypto, CodeMethodS256: true, SupportedScopes: []string{"openid", "testbed:read", "testbed:control"}},
		p, op.StaticIssuer(p.url), op.WithAllowInsecure(), op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("id")
		p.mu.Lock()
		if a := p.requests[id]; a != nil {
			a.subject, a.done = p.user, true
		}
		p.mu.Unlock()
		http.Redirect(w, r, op.AuthCallbackURL(server)(op.ContextWithIssuer(r.Context(), p.url), id), http.StatusFound)
	})
	mux.Handle("/", server)
	h = mux
	return p
}

// rotate adds a key, which signs from now on.
func (p *provider) rotate(t *testing.T) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, &key{id: fmt.Sprintf("key-%d", len(p.keys)+1), private: private})
}

// withdraw takes all keys back but the last.
func (p *provider) withdraw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = p.keys[len(p.keys)-1:]
}

// as changes who logs in, and for how long tokens are good.
func (p *provider) as(user string, lifetime time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.user, p.lifetime = user, lifetime
}

type key struct {
	id      string
	private *ecdsa.PrivateKey
}

// signing and published are the two sides of a key.
type (
	signing   struct{ *key }
	published struct{ *key }
)

func (k signing) ID() string                                  { return k.id }
func (k signing) Key() any                                    { return k.private }
func (k signing) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k published) ID() string                                { return k.id }
func (k published) Key() any                                  { return &k.private.PublicKey }
func (k published) Algorithm() jose.SignatureAlgorithm        { return jose.ES256 }
func (k published) Use() string                               { return "sig" }
func (p *provider) Health(context.Context) error              { return nil }
func (p *provider) AuthorizeClientIDSecret(context.Context, string, string) error {
	return errors.New("a public client has no secret")
}

func (p *provider) SigningKey(context.Context) (op.SigningKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return signing{p.keys[len(p.keys)-1]}, nil
}

func (p *provider) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (p *provider) KeySet(context.Context) (all []op.Key, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.keys {
		all = append(all, published{k})
	}
	return all, nil
}

// request is one login.
type request struct {
	*oidc.AuthRequest
	id, subject, audience string
	done                  bool
}

func (r *request) GetID() string                      { return r.id }
func (r *request) GetACR() string                     { return "" }
func (r *request) GetAMR() []string                   { return nil }
func (r *request) GetAudience() []string              { return []string{r.audience} }
func (r *request) GetAuthTime() time.Time             { return time.Now() }
func (r *request) GetClientID() string                { return r.ClientID }
func (r *request) GetNonce() string                   { return r.Nonce }
func (r *request) GetRedirectURI() string             { return r.RedirectURI }
func (r *request) GetScopes() []string                { return r.Scopes }
func (r *request) GetState() string                   { return r.State }
func (r *request) GetSubject() string                 { return r.subject }
func (r *request) Done() bool                         { return r.done }
func (r *request) GetResponseType() oidc.ResponseType { return r.ResponseType }
func (r *request) GetResponseMode() oidc.ResponseMode { return r.ResponseMode }
func (r *request) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: r.CodeChallenge, Method: r.CodeChallengeMethod}
}

func (p *provider) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.CodeChallenge == "" {
		return nil, errors.New("without PKCE")
	}
	a := &request{AuthRequest: r, id: fmt.Sprintf("request-%d", len(p.requests)), audience: p.audience}
	p.requests[a.id] = a
	return a, nil
}

func (p *provider) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.requests[id]; a != nil {
		return a, nil
	}
	return nil, errors.New("no such request")
}

func (p *provider) SaveAuthCode(_ context.Context, id, code string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[code] = id
	return nil
}

func (p *provider) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	p.mu.Lock()
	id := p.codes[code]
	p.mu.Unlock()
	return p.AuthRequestByID(ctx, id)
}

func (p *provider) DeleteAuthRequest(_ context.Context, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.requests, id)
	return nil
}

func (p *provider) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return rand.Text(), time.Now().Add(p.lifetime), nil
}

// GetPrivateClaimsFromScopes puts into access tokens what RFC 9068 does.
func (p *provider) GetPrivateClaimsFromScopes(_ context.Context, user, _ string, scopes []string) (map[string]any, error) {
	return map[string]any{"scope": strings.Join(scopes, " "), "preferred_username": user}, nil
}

func (p *provider) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

func (p *provider) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != clientID {
		return nil, errors.New("no such client")
	}
	return public{p}, nil
}

// public is the one client.
type public struct{ p *provider }

func (c public) GetID() string                       { return clientID }
func (c public) RedirectURIs() []string              { return []string{callback} }
func (c public) PostLogoutRedirectURIs() []string    { return nil }
func (c public) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative }
func (c public) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodNone }
func (c public) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c public) GrantTypes() []oidc.GrantType         { return []oidc.GrantType{oidc.GrantTypeCode} }
func (c public) LoginURL(id string) string            { return c.p.url + "/login?id=" + id }
func (c public) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeJWT }
func (c public) IDTokenLifetime() time.Duration       { return time.Hour }
func (c public) DevMode() bool                        { return true }
func (c public) IsScopeAllowed(scope string) bool     { return strings.HasPrefix(scope, "testbed:") }
func (c public) IDTokenUserinfoClaimsAssertion() bool { return false }
func (c public) ClockSkew() time.Duration             { return 0 }
func (c public) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}
func (c public) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}
