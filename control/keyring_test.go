package control

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epic-swf/testbed/swf"
)

// A rotation: the newest key signs, the one before it is taken for a while and
// then dies, and nothing is signed or taken with a dead one.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := NewKey(), NewKey()
		ring := first.Ring().With(second, time.Now().Add(KeyOverlap))
		body := []byte("{}")
		old := first.Sign(DomainCommand, body)
		if err := ring.Verify(DomainCommand, old, body); err != nil {
			t.Error(err)
		}
		if got := SignedBy(ring.Sign(DomainReply, body)); got != second.ID {
			t.Errorf("signed with %s, not with the newest", got)
		}
		if d := cmp.Diff([]string{second.ID, first.ID}, ring.IDs()); d != "" {
			t.Error(d)
		}
		time.Sleep(KeyOverlap)
		if err := ring.Verify(DomainCommand, old, body); !swf.IsCode(err, swf.CodeBadSignature) {
			t.Errorf("a dead key is taken: %v", err)
		}
		if d := cmp.Diff([]string{second.ID}, ring.IDs()); d != "" {
			t.Error(d)
		}
		if third := ring.With(NewKey(), time.Now()); len(third.Keys()) != 2 {
			t.Errorf("the dead key stays: %v", third.Keys())
		}
		dead := first.Ring().With(first, time.Time{}) // not rotated: the same key
		if len(dead.Keys()) != 1 || dead.IsZero() {
			t.Errorf("%v", dead.Keys())
		}
		first.Until = time.Now()
		if r := first.Ring(); r.IsZero() || r.Sign(DomainCommand, body) != "" || r.Verify(DomainCommand, "", body) == nil {
			t.Error("a ring of dead keys signs, or takes what is unsigned")
		}
	})
}

// Where a newer key has not reached the manager, the older one goes first.
func TestSignersFollowThePong(t *testing.T) {
	first, second := NewKey(), NewKey()
	ring := first.Ring().With(second, time.Now().Add(time.Hour))
	for _, c := range []struct {
		known []string
		want  string
	}{{nil, second.ID}, {[]string{first.ID}, first.ID}, {[]string{first.ID, second.ID}, second.ID}, {[]string{"else"}, second.ID}} {
		if got := ring.signers(c.known); len(got) != 2 || got[0].ID != c.want {
			t.Errorf("%v: %v", c.known, got)
		}
	}
	if joined := second.Ring().Join(ring); len(joined.Keys()) != 2 || joined.Newest().ID != second.ID {
		t.Errorf("%v", joined.Keys())
	}
}

func TestKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "ann.key")
	first, second := NewKey(), NewKey()
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	ring := first.Ring().With(second, until)
	if err := WriteRing(path, ring); err != nil {
		t.Fatal(err)
	}
	back, err := ReadRing(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(ring.Keys(), back.Keys()); d != "" {
		t.Error(d)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	newest, err := ReadKey(path)
	if err != nil || newest.ID != second.ID {
		t.Errorf("%v, %v", newest, err)
	}
	secret := strings.Fields(string(ring.Text()))[1]
	for name, text := range map[string]string{
		"empty": "", "comment": "# nothing\n", "no secret": "0123abcd\n", "short": "0123abcd 00\n", "no hex": "0123abcd " + strings.Repeat("zz", 32),
		"twice": "0123abcd " + secret + "\n0123abcd " + secret, "time": "0123abcd " + secret + " tomorrow", "four": "0123abcd " + secret + " x y",
		"id": "a;b " + secret, "long": strings.Repeat("a", 70_000), "many": strings.Repeat("x", maxKeyFile+1),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadRing(path)
		if e := swf.AsError(err); e == nil || e.Code != swf.CodeEnvironment || e.Hint == "" || strings.Contains(e.Message, secret[:8]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A rotation counts without a restart, and an accident makes nothing unsigned.
func TestKeyFileIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.key")
	f := &KeyFile{Path: path}
	if !f.Ring().IsZero() {
		t.Fatal("keys out of nothing")
	}
	first, second := NewKey(), NewKey()
	if err := WriteKey(path, first); err != nil {
		t.Fatal(err)
	}
	if got := f.Ring().Newest(); got.ID != first.ID {
		t.Errorf("%v", got)
	}
	if err := WriteRing(path, first.Ring().With(second, time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		accident func() error
	}{
		{"none", func() error { return nil }},
		{"open", func() error { return os.Chmod(path, 0o644) }},
		{"rubbish", func() error { return os.WriteFile(path, []byte("rubbish"), 0o600) }},
		{"gone", func() error { return os.Remove(path) }},
	} {
		if err := c.accident(); err != nil {
			t.Fatal(err)
		}
		if got := f.Ring(); got.Newest().ID != second.ID || len(got.IDs()) != 2 {
			t.Errorf("%s: %v", c.name, got.Keys())
		}
	}
}

func FuzzKeyFile(f *testing.F) {
	f.Add(NewKey().Ring().Text())
	f.Add(NewKey().Ring().With(NewKey(), time.Now()).Text())
	f.Add([]byte("# a comment\n\n0123abcd 00 2026-01-01T00:00:00Z"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRing("x", text)
		if err != nil {
			return
		}
		again, err := ParseRing("x", r.Text())
		if err != nil || len(again.Keys()) != len(r.Keys()) {
			t.Fatalf("%q became %q: %v", text, r.Text(), err)
		}
		for _, k := range r.Keys() {
			if k.IsZero() || strings.ContainsAny(k.ID, ";\r\n\x00") {
				t.Fatalf("%q", k.ID)
			}
		}
	})
}
