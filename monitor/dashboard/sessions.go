package dashboard

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// Bounds of sessions. They live in memory: a server that starts anew asks
// everybody to sign in again.
const (
	sessionTime = 12 * time.Hour
	codeTime    = 10 * time.Minute
	maxSessions = 1000
	maxCodes    = 100
)

// session is one browser that has signed in: with a token, which is looked up
// again each time, or by a one-time link as principal.
type session struct {
	token     swf.Secret
	principal swf.Principal
	expires   time.Time
}

// sessions knows the browsers that are signed in, by the digest of what their
// cookie holds. Safe for concurrent use.
type sessions struct {
	lookup func(string) (swf.Principal, bool)
	now    func() time.Time
	cookie string // its own for each server: all ports of a host share cookies
	secret []byte // of the tokens in forms

	mu     sync.Mutex
	of     map[[sha256.Size]byte]*list.Element
	byAge  *list.List // of *entry, oldest first
	codes  map[[sha256.Size]byte]session
	issued *list.List // of the codes' digests, oldest first
}

type entry struct {
	key [sha256.Size]byte
	session
}

func newSessions(lookup func(string) (swf.Principal, bool), now func() time.Time) *sessions {
	return &sessions{lookup: lookup, now: now, cookie: "testbed-" + random(6), secret: []byte(random(32)),
		of: make(map[[sha256.Size]byte]*list.Element), byAge: list.New(), codes: make(map[[sha256.Size]byte]session), issued: list.New()}
}

// random is n random bytes as text.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// code makes a one-time code that stands for p.
func (s *sessions) code(p swf.Principal) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	code := random(32)
	key := sha256.Sum256([]byte(code))
	s.codes[key] = session{principal: p, expires: s.now().Add(codeTime)}
	s.issued.PushBack(key)
	if s.issued.Len() > maxCodes {
		delete(s.codes, s.issued.Remove(s.issued.Front()).([sha256.Size]byte))
	}
	return code
}

// redeem takes a code, which is good for nothing afterwards, and opens a
// session.
func (s *sessions) redeem(code string) (id string, ok bool) {
	key := sha256.Sum256([]byte(code))
	s.mu.Lock()
	c, known := s.codes[key]
	delete(s.codes, key)
	s.mu.Unlock()
	if !known || !s.now().Before(c.expires) {
		return "", false
	}
	return s.open(session{principal: c.principal}), true
}

// signIn opens a session with a token, if it is a good one.
func (s *sessions) signIn(token string) (id string, ok bool) {
	if _, ok := s.lookup(token); !ok {
		return "", false
	}
	return s.open(session{token: swf.Secret(token)}), true
}

func (s *sessions) open(n session) (id string) {
	id = random(32)
	n.expires = s.now().Add(sessionTime)
	e := &entry{sha256.Sum256([]byte(id)), n}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[e.key] = s.byAge.PushBack(e)
	if s.byAge.Len() > maxSessions {
		s.drop(s.byAge.Front())
	}
	return id
}

func (s *sessions) drop(e *list.Element) { delete(s.of, s.byAge.Remove(e).(*entry).key) }

// who says whose session id is.
func (s *sessions) who(id string) (swf.Principal, bool) {
	s.mu.Lock()
	e, ok := s.of[sha256.Sum256([]byte(id))]
	if ok && !s.now().Before(e.Value.(*entry).expires) {
		s.drop(e)
		ok = false
	}
	s.mu.Unlock()
	if !ok {
		return swf.Principal{}, false
	}
	n := e.Value.(*entry).session
	if n.token == "" {
		return n.principal, true
	}
	return s.lookup(n.token.Reveal()) // it may have been taken back
}

// close ends a session.
func (s *sessions) close(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.of[sha256.Sum256([]byte(id))]; ok {
		s.drop(e)
	}
}

// formToken is what the forms of a session carry: a page of another site can
// make a browser send its cookie, but not know this.
func (s *sessions) formToken(id string) string {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (s *sessions) formTokenOK(id, given string) bool {
	return hmac.Equal([]byte(s.formToken(id)), []byte(given))
}

// id is the session id that a request carries, "" without one.
func (s *sessions) id(r *http.Request) string {
	c, err := r.Cookie(s.cookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// set gives the browser its cookie; id "" takes it away. No script can read it
// and no other site's page makes a browser send it.
func (s *sessions) set(w http.ResponseWriter, r *http.Request, id string) {
	c := &http.Cookie{Name: s.cookie, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil}
	if id == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
