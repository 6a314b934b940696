package web_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

const resource = "https://testbed.example/mcp"

// issuer is an authorization server of keys and metadata only; a real one
// issues tokens in test/oauth.
type issuer struct {
	t    *testing.T
	url  string
	now  time.Time
	keys map[string]*ecdsa.PrivateKey

	mu    sync.Mutex
	asked int // for keys
	down  bool
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{t: t, now: time.Now(), keys: map[string]*ecdsa.PrivateKey{}}
	i.newKey("one")
	mux := http.NewServeMux()
	mux.HandleFunc("/realm/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		web.WriteJSON(w, 200, map[string]string{"issuer": i.url, "jwks_uri": i.url + "/keys"})
	})
	mux.HandleFunc("/realm/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.asked++; i.down {
			w.WriteHeader(500)
			return
		}
		set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: []byte("a shared secret that everybody reads"), KeyID: "shared", Algorithm: "HS256"}}}
		for id, k := range i.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.PublicKey, KeyID: id, Algorithm: "ES256", Use: "sig"})
		}
		web.WriteJSON(w, 200, set)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	i.url = s.URL + "/realm"
	return i
}

func (i *issuer) newKey(id string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys[id] = k
}

func (i *issuer) questions() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

func (i *issuer) claims() map[string]any {
	return map[string]any{"iss": i.url, "aud": []string{"other", resource}, "sub": "1", "preferred_username": "ann", "scope": "openid testbed:read testbed:control",
		"exp": i.now.Add(time.Hour).Unix(), "iat": i.now.Unix(), "nbf": i.now.Unix()}
}

func (i *issuer) sign(kid, typ string, claims any) string {
	i.t.Helper()
	return signed(i.t, jose.ES256, i.keys[kid], kid, typ, claims)
}

func signed(t *testing.T, alg jose.SignatureAlgorithm, key any, kid, typ string, claims any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)).WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (i *issuer) auth() web.Auth {
	return web.Auth{OAuth: web.NewOAuth(web.OAuthOptions{Issuer: i.url, Resource: resource, UsernameClaim: "preferred_username",
		Algorithms: []string{"ES256"}, Operators: []string{"olga"}, Now: func() time.Time { return i.now }})}
}

// ask presents a token and returns the answer and who it was taken for.
func ask(a web.Auth, token string) (*httptest.ResponseRecorder, swf.Principal) {
	var who swf.Principal
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	a.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { who, _ = web.PrincipalFrom(r.Context()) })).ServeHTTP(w, r)
	return w, who
}

func publicPEM(k *ecdsa.PrivateKey) []byte {
	der, _ := x509.MarshalPKIXPublicKey(&k.PublicKey)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestAttack06AccessTokens(t *testing.T) {
	i := newIssuer(t)
	a := i.auth()
	with := func(change func(map[string]any)) map[string]any {
		c := i.claims()
		change(c)
		return c
	}
	set := func(key string, value any) map[string]any { return with(func(c map[string]any) { c[key] = value }) }
	public := publicPEM(i.keys["one"])
	stranger, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	body, _ := json.Marshal(i.claims())
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + base64.RawURLEncoding.EncodeToString(body) + "."
	good := i.sign("one", "at+jwt", i.claims())
	for _, c := range []struct {
		name, token string
		status      int
		who         swf.Principal
	}{
		{"good", good, 200, swf.Principal{Name: "ann"}},
		{"an operator", i.sign("one", "JWT", set("preferred_username", "olga")), 200, swf.Principal{Name: "olga", Operator: true}},
		{"one that looks", i.sign("one", "at+jwt", set("scope", "testbed:read")), 200, swf.Principal{Name: "ann", ReadOnly: true}},
		{"scp as a list", i.sign("one", "at+jwt", with(func(c map[string]any) { delete(c, "scope"); c["scp"] = []string{"testbed:control"} })), 200, swf.Principal{Name: "ann"}},
		{"no scope of ours", i.sign("one", "at+jwt", set("scope", "openid")), 403, swf.Principal{}},
		{"no scope", i.sign("one", "at+jwt", set("scope", nil)), 403, swf.Principal{}},
		{"empty", "", 401, swf.Principal{}},
		{"no JWT", "a.b.c", 401, swf.Principal{}},
		{"alg none", none, 401, swf.Principal{}},
		{"alg none, signed", none + "AAAA", 401, swf.Principal{}},
		{"HMAC with the public key", signed(t, jose.HS256, public, "one", "at+jwt", i.claims()), 401, swf.Principal{}},
		{"HMAC with a published secret", signed(t, jose.HS256, []byte("a shared secret that everybody reads"), "shared", "at+jwt", i.claims()), 401, swf.Principal{}},
		{"a stranger's key", signed(t, jose.ES256, stranger, "one", "at+jwt", i.claims()), 401, swf.Principal{}},
		{"a key of no id", signed(t, jose.ES256, stranger, "two", "at+jwt", i.claims()), 401, swf.Principal{}},
		{"changed", good[:len(good)-6] + "AAAAAA", 401, swf.Principal{}},
		{"another type", i.sign("one", "logout+jwt", i.claims()), 401, swf.Principal{}},
		{"another issuer", i.sign("one", "at+jwt", set("iss", "https://evil.example")), 401, swf.Principal{}},
		{"no issuer", i.sign("one", "at+jwt", set("iss", nil)), 401, swf.Principal{}},
		{"another audience", i.sign("one", "at+jwt", set("aud", "https://other.example/mcp")), 401, swf.Principal{}},
		{"no audience", i.sign("one", "at+jwt", set("aud", nil)), 401, swf.Principal{}},
		{"expired", i.sign("one", "at+jwt", set("exp", i.now.Add(-time.Minute).Unix())), 401, swf.Principal{}},
		{"without an end", i.sign("one", "at+jwt", set("exp", nil)), 401, swf.Principal{}},
		{"not yet", i.sign("one", "at+jwt", set("nbf", i.now.Add(time.Minute).Unix())), 401, swf.Principal{}},
		{"no user", i.sign("one", "at+jwt", set("preferred_username", nil)), 401, swf.Principal{}},
		{"a user's twin", i.sign("one", "at+jwt", set("preferred_username", "Ann")), 401, swf.Principal{}},
		{"a user of another shape", i.sign("one", "at+jwt", set("preferred_username", []string{"ann"})), 401, swf.Principal{}},
	} {
		w, who := ask(a, c.token)
		if w.Code != c.status || who != c.who {
			t.Errorf("%s: %d, %+v; want %d, %+v", c.name, w.Code, who, c.status, c.who)
		}
		challenge := w.Header().Get("WWW-Authenticate")
		if c.status != 200 && !strings.Contains(challenge, `resource_metadata="https://testbed.example/.well-known/oauth-protected-resource/mcp"`) {
			t.Errorf("%s: WWW-Authenticate %q", c.name, challenge)
		}
		if (c.status == 403) != strings.Contains(challenge, `error="insufficient_scope"`) {
			t.Errorf("%s: WWW-Authenticate %q", c.name, challenge)
		}
	}
	if n := i.questions(); n != 1 {
		t.Errorf("strangers' tokens made %d questions for keys", n)
	}
}

func TestKeysRotate(t *testing.T) {
	i := newIssuer(t)
	a := i.auth()
	status := func(kid string) int {
		c := i.claims()
		w, _ := ask(a, i.sign(kid, "at+jwt", c))
		return w.Code
	}
	if got := status("one"); got != 200 {
		t.Fatal(got)
	}
	i.newKey("two")
	i.now = i.now.Add(time.Minute)
	if got := status("two"); got != 200 {
		t.Errorf("a new key: %d", got)
	}
	old := i.sign("one", "at+jwt", i.claims())
	i.mu.Lock()
	delete(i.keys, "one")
	i.mu.Unlock()
	i.now = i.now.Add(6 * time.Minute)
	if w, _ := ask(a, old); w.Code != 401 {
		t.Errorf("a key that was withdrawn: %d", w.Code)
	}
	// An issuer that does not answer stops nobody whose key is known.
	i.mu.Lock()
	i.down = true
	i.mu.Unlock()
	i.now = i.now.Add(10 * time.Minute)
	if got := status("two"); got != 200 {
		t.Errorf("with the issuer down: %d", got)
	}
	i.now = i.now.Add(25 * time.Hour)
	if w, _ := ask(a, i.sign("two", "at+jwt", i.claims())); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("with the issuer down for a day: %d", w.Code)
	}
	b := i.auth()
	if w, _ := ask(b, i.sign("two", "at+jwt", i.claims())); w.Code != 503 {
		t.Errorf("with the issuer never up: %d", w.Code)
	}
}

// TestAStreamEndsWithItsToken: revoked or expired, it is not read on.
func TestAStreamEndsWithItsToken(t *testing.T) {
	var mu sync.Mutex
	good := true
	a := web.Auth{Recheck: time.Millisecond, Lookup: func(string) (swf.Principal, bool) {
		mu.Lock()
		defer mu.Unlock()
		return swf.Principal{Name: "ann"}, good
	}}
	began, ended := make(chan struct{}), make(chan struct{})
	h := a.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	}))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer x")
	go h.ServeHTTP(httptest.NewRecorder(), r)
	<-began
	mu.Lock()
	good = false
	mu.Unlock()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("the stream goes on")
	}
}

func TestMetadata(t *testing.T) {
	i := newIssuer(t)
	o := i.auth().OAuth
	if got := strings.Join(o.MetadataPaths(), " "); got != "/.well-known/oauth-protected-resource /.well-known/oauth-protected-resource/mcp" {
		t.Error(got)
	}
	w := httptest.NewRecorder()
	o.Metadata().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	var m struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || m.Resource != resource || len(m.Servers) != 1 || m.Servers[0] != i.url || len(m.Scopes) != 2 {
		t.Errorf("%v %s", err, w.Body)
	}
	w = httptest.NewRecorder()
	if o.Metadata().ServeHTTP(w, httptest.NewRequest("POST", "/", nil)); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}
