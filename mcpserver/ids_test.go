package mcpserver

import (
	"testing"
	"time"
)

func TestIDs(t *testing.T) {
	now := time.Now()
	a, b := newIDs([]byte("key")), newIDs([]byte("key"))
	a.now, b.now = func() time.Time { return now }, func() time.Time { return now }
	id := a.mint("ann")
	flipped := "A"
	if id[20] == 'A' {
		flipped = "B"
	}
	for name, c := range map[string]struct{ got, want bool }{
		"the owner":             {a.valid(id, "ann"), true},
		"another user":          {a.valid(id, "bob"), false},
		"a replica":             {b.valid(id, "ann"), true},
		"a replica, another":    {b.valid(id, "bob"), false},
		"a stranger's key":      {newIDs(nil).valid(id, "ann"), false},
		"changed":               {b.valid(id[:20]+flipped+id[21:], "ann"), false},
		"spelled differently":   {b.valid(id+"=", "ann"), false},
		"cut":                   {b.valid(id[:20], "ann"), false},
		"empty":                 {a.valid("", ""), false},
		"two are not the same":  {a.mint("ann") == id, false},
		"the server is not yet": {a.full("ann"), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", name, c.got)
		}
	}
	a.end(id)
	a.end(id)
	if a.valid(id, "ann") {
		t.Error("an ended session is valid")
	}
	now = now.Add(maxSessionAge + time.Minute)
	if b.valid(id, "ann") {
		t.Error("a session of a replica never grows too old")
	}
}

func TestTombstonesAreBounded(t *testing.T) {
	s := newIDs(nil)
	for range maxTombstones + 100 {
		s.end(s.mint("ann"))
	}
	if len(s.dead) != maxTombstones || s.order.Len() != maxTombstones || len(s.live) != 0 || len(s.counts) != 0 {
		t.Errorf("%d tombstones, %d in order, %d live, %d counted", len(s.dead), s.order.Len(), len(s.live), len(s.counts))
	}
}
