package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// How keys of an authorization server are kept.
const (
	keysFresh  = 5 * time.Minute  // after which they are asked for again
	keysStale  = 24 * time.Hour   // how long old ones serve while the server does not answer
	keysPause  = 10 * time.Second // between two questions, whatever clients send
	maxKeysDoc = 256 << 10
)

// errNoKeys says that signatures cannot be checked now.
var errNoKeys = errors.New("the authorization server does not tell its keys")

// keySet is the published keys of an authorization server. An unknown key id
// makes it ask again, at most every keysPause: so keys may rotate at any time,
// and strangers cannot make us a flood for that server.
type keySet struct {
	issuer, url string // url "" is looked up in the issuer's metadata
	client      *http.Client
	log         *slog.Logger
	now         func() time.Time

	asking sync.Mutex // held while the server is asked; known keys serve meanwhile

	mu    sync.Mutex
	keys  []jose.JSONWebKey
	at    time.Time // when keys were told
	tried time.Time
}

// find returns the keys that a signature with that key id and algorithm may
// have been made with.
func (s *keySet) find(ctx context.Context, kid, alg string) ([]jose.JSONWebKey, error) {
	found, age := s.match(kid, alg)
	if len(found) > 0 && age < keysFresh {
		return found, nil
	}
	if len(found) == 0 {
		s.asking.Lock()
	} else if !s.asking.TryLock() {
		return found, nil // somebody asks already, and these have served so far
	}
	err := s.ask(ctx)
	s.asking.Unlock()
	if found, age = s.match(kid, alg); len(found) == 0 && err != nil {
		return nil, err
	}
	if age > keysStale {
		return nil, errNoKeys
	}
	return found, nil
}

func (s *keySet) match(kid, alg string) (found []jose.JSONWebKey, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if (kid == "" || k.KeyID == kid) && (k.Algorithm == "" || k.Algorithm == alg) {
			found = append(found, k)
		}
	}
	return found, s.now().Sub(s.at)
}

// ask gets the keys anew, unless that was tried just now. The caller holds
// s.asking.
func (s *keySet) ask(ctx context.Context) error {
	s.mu.Lock()
	wait := s.now().Sub(s.tried) < keysPause
	none := s.keys == nil
	s.mu.Unlock()
	if wait {
		if none {
			return errNoKeys
		}
		return nil
	}
	keys, err := s.fetch(context.WithoutCancel(ctx)) // for others too: one who leaves must not spoil it
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = s.now()
	if err != nil {
		s.log.Warn("the keys of the authorization server could not be had", "issuer", s.issuer, "err", err)
		return errNoKeys
	}
	s.keys, s.at = keys, s.tried
	return nil
}

func (s *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	at := s.url
	if at == "" {
		var err error
		if at, err = s.discover(ctx); err != nil {
			return nil, err
		}
	}
	var set jose.JSONWebKeySet
	if err := s.get(ctx, at, &set); err != nil {
		return nil, err
	}
	keys := []jose.JSONWebKey{}
	for _, k := range set.Keys {
		// Only public halves of key pairs: a shared secret that is published
		// is none.
		if k.Valid() && k.IsPublic() && k.Use != "enc" {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// discover finds the keys' URL in the metadata of RFC 8414 or of OpenID.
func (s *keySet) discover(ctx context.Context) (string, error) {
	u, err := url.Parse(s.issuer)
	if err != nil {
		return "", err
	}
	path := strings.TrimSuffix(u.Path, "/")
	var failed error
	for _, p := range []string{"/.well-known/oauth-authorization-server" + path, path + "/.well-known/openid-configuration"} {
		var meta struct {
			Issuer string `json:"issuer"`
			JWKS   string `json:"jwks_uri"`
		}
		err := s.get(ctx, u.Scheme+"://"+u.Host+p, &meta)
		keys, bad := url.Parse(meta.JWKS)
		switch {
		case err != nil:
		case meta.Issuer != s.issuer:
			err = fmt.Errorf("the metadata at %s is of another issuer, %.200q", p, meta.Issuer)
		case bad != nil || keys.Host == "" || keys.Scheme != "https" && keys.Scheme != u.Scheme:
			err = fmt.Errorf("the metadata at %s names no safe place of keys", p)
		default:
			return meta.JWKS, nil
		}
		failed = errors.Join(failed, err)
	}
	return "", failed
}

func (s *keySet) get(ctx context.Context, at string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", at, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeysDoc+1))
	if err == nil && len(body) > maxKeysDoc {
		err = fmt.Errorf("%s answers with more than %d bytes", at, maxKeysDoc)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}
