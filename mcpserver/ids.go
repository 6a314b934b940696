package mcpserver

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/server"

	"github.com/epic-swf/testbed/web"
)

// Limits of sessions.
const (
	maxTombstones   = 10_000
	maxSessionAge   = 24 * time.Hour
	sessionsPerUser = 128
	maxSessions     = 2048
)

// ids makes session ids that only their principal can use, and remembers those
// that have ended. An id is a time and random bits with an HMAC over them and
// the principal's name, so replicas with the same key know each other's.
type ids struct {
	key []byte
	now func() time.Time

	mu     sync.Mutex
	live   map[string]string // id -> principal
	counts map[string]int    // by principal
	dead   map[string]*list.Element
	order  *list.List // of dead ids, oldest first
}

func newIDs(key []byte) *ids {
	if len(key) == 0 {
		key = make([]byte, 32)
		_, _ = rand.Read(key)
	}
	return &ids{key: key, now: time.Now, live: map[string]string{}, counts: map[string]int{}, dead: map[string]*list.Element{}, order: list.New()}
}

const idHead = 8 + 16 // time, random

func (s *ids) mac(head []byte, principal string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(head)
	h.Write([]byte(principal))
	return h.Sum(nil)
}

// mint makes and counts a new id.
func (s *ids) mint(principal string) string {
	head := make([]byte, idHead)
	binary.BigEndian.PutUint64(head, uint64(s.now().Unix()))
	_, _ = rand.Read(head[8:])
	id := base64.RawURLEncoding.EncodeToString(append(head, s.mac(head, principal)...))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[id] = principal
	s.counts[principal]++
	return id
}

// full reports whether the principal has as many sessions as it may.
func (s *ids) full(principal string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[principal] >= sessionsPerUser || len(s.live) >= maxSessions
}

// valid reports whether the id is a session of the principal that has not
// ended: one of ours, or of a replica that has the same key.
func (s *ids) valid(id, principal string) bool {
	s.mu.Lock()
	owner, ours := s.live[id]
	ended := s.dead[id] != nil
	s.mu.Unlock()
	if ours || ended {
		return ours && owner == principal
	}
	b, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(b) != idHead+sha256.Size || !hmac.Equal(b[idHead:], s.mac(b[:idHead], principal)) {
		return false
	}
	return s.now().Sub(time.Unix(int64(binary.BigEndian.Uint64(b)), 0)) <= maxSessionAge
}

// end makes an id invalid for good.
func (s *ids) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if principal, ok := s.live[id]; ok {
		delete(s.live, id)
		if s.counts[principal]--; s.counts[principal] == 0 {
			delete(s.counts, principal)
		}
	}
	if s.dead[id] != nil {
		return
	}
	if s.order.Len() >= maxTombstones {
		delete(s.dead, s.order.Remove(s.order.Front()).(string))
	}
	s.dead[id] = s.order.PushBack(id)
}

// ResolveSessionIdManager implements server.SessionIdManagerResolver: the
// library sees ids through the eyes of who is asking.
func (s *ids) ResolveSessionIdManager(r *http.Request) server.SessionIdManager {
	b := boundIDs{ids: s}
	if r != nil {
		p, _ := web.PrincipalFrom(r.Context())
		b.principal = p.Name
	}
	return b
}

type boundIDs struct {
	ids       *ids
	principal string
}

func (b boundIDs) Generate() string { return b.ids.mint(b.principal) }

func (b boundIDs) Validate(id string) (bool, error) {
	if !b.ids.valid(id, b.principal) {
		return false, errors.New("no such session")
	}
	return false, nil
}

// Terminate is called for a DELETE, which was checked before, by the sweeper
// and at the end of the server.
func (b boundIDs) Terminate(id string) (bool, error) {
	b.ids.end(id)
	return false, nil
}
