package control

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"time"
)

// Key is one of a user's control keys. The zero Key signs nothing.
type Key struct {
	ID     string
	Secret []byte
	Until  time.Time // when it dies; zero: it has no successor yet
}

// KeyOverlap is how long the keys before the newest go on living: the longest
// time of a command, and that of its answers behind it (design, rule 13).
const KeyOverlap = MaxTTL + 5*time.Minute

// maxKeys is how many keys one user may have at a time.
const maxKeys = 8

// NewKey makes a random key of 256 bits.
func NewKey() Key {
	b := make([]byte, 36)
	_, _ = rand.Read(b)
	return Key{ID: hex.EncodeToString(b[:4]), Secret: b[4:]}
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return len(k.Secret) == 0 }

// Dead reports whether the key's time is over.
func (k Key) Dead(now time.Time) bool { return !k.Until.IsZero() && !now.Before(k.Until) }

// String tells the id alone.
func (k Key) String() string { return "key " + k.ID }

// GoString tells the id alone.
func (k Key) GoString() string { return k.String() }

// Ring returns the ring of this key alone. The zero Key has the zero Ring.
func (k Key) Ring() Ring {
	if k.IsZero() {
		return Ring{}
	}
	return Ring{keys: []Key{k}}
}

// Ring is the keys of one user, of which the newest signs. It does not change:
// what adds to it makes another. The zero Ring is that of a user without keys,
// whose messages are not signed.
type Ring struct{ keys []Key } // oldest first

// IsZero reports whether the user never had a key. A ring whose keys have all
// died is not zero: nothing is taken unsigned in their place.
func (r Ring) IsZero() bool { return len(r.keys) == 0 }

// Keys returns all keys, newest first, the dead ones too.
func (r Ring) Keys() []Key {
	keys := slices.Clone(r.keys)
	slices.Reverse(keys)
	return keys
}

// live returns the keys that live, newest first.
func (r Ring) live() []Key {
	now := time.Now()
	return slices.DeleteFunc(r.Keys(), func(k Key) bool { return k.Dead(now) })
}

// IDs names the keys that live, newest first; a pong lists them.
func (r Ring) IDs() []string {
	var ids []string
	for _, k := range r.live() {
		ids = append(ids, k.ID)
	}
	return ids
}

// Key returns the key with that id, if it lives, else the zero Key.
func (r Ring) Key(id string) Key {
	for _, k := range slices.Backward(r.keys) {
		if k.ID == id && !k.Dead(time.Now()) {
			return k
		}
	}
	return Key{}
}

// Newest returns the newest key that lives, else the zero Key.
func (r Ring) Newest() Key {
	now := time.Now()
	for _, k := range slices.Backward(r.keys) {
		if !k.Dead(now) {
			return k
		}
	}
	return Key{}
}

// Sign signs with the newest key. It returns "" where no key lives.
func (r Ring) Sign(d Domain, body []byte) string {
	k := r.Newest()
	if k.IsZero() {
		return ""
	}
	return k.Sign(d, body)
}

// signers are the keys to try on a peer, best first: those that the peer has
// said it knows, then the others, newest first. Where the newest has not
// reached the peer yet, an older one has.
func (r Ring) signers(known []string) []Key {
	keys := r.live()
	slices.SortStableFunc(keys, func(a, b Key) int {
		return rank(slices.Contains(known, a.ID)) - rank(slices.Contains(known, b.ID))
	})
	return keys
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// Join returns the keys of both rings; those of r count as newer.
func (r Ring) Join(older Ring) Ring {
	var keys []Key
	for _, k := range older.keys {
		if !slices.ContainsFunc(r.keys, func(other Key) bool { return other.ID == k.ID }) {
			keys = append(keys, k)
		}
	}
	return Ring{append(keys, r.keys...)}
}

// With returns the ring with k as its newest key. The others die at until,
// unless they do so earlier; dead ones are left out. A key of that id that is
// in the ring already moves to the end.
func (r Ring) With(k Key, until time.Time) Ring {
	now := time.Now()
	keys := []Key{}
	for _, old := range r.keys {
		if old.ID == k.ID || old.Dead(now) {
			continue
		}
		if old.Until.IsZero() || old.Until.After(until) {
			old.Until = until
		}
		keys = append(keys, old)
	}
	keys = append(keys, k)
	return Ring{keys[max(0, len(keys)-maxKeys):]}
}
