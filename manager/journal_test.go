package manager

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

func rec(id string, verb control.Verb, phase phase) *record {
	now := time.Now()
	c := control.Command{Verb: verb, ID: id, Username: "ann", IssuedAt: now, ExpiresAt: now.Add(control.TTL)}
	r := &record{Command: c, Intent: c.Intent(), Phase: phase, AcceptedAt: now}
	if phase == phaseDone {
		r.DoneAt = now
		r.Outcome = &control.Reply{CommandID: id, Kind: control.Final, Outcome: control.Succeeded}
	}
	return r
}

func TestJournalSurvivesReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := openJournal(path)
	created := j.created
	start, stop := rec("a1", control.StartTestbed, phaseAccepted), rec("s1", control.StopTestbed, phaseBegun)
	for _, r := range []*record{start, stop, rec("d1", control.StartTestbed, phaseDone)} {
		if err := j.Put(r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.Modify("a1", func(r *record) error { r.Phase = phaseActing; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Modify("nobody", func(*record) error { return nil }); err == nil {
		t.Error("an unknown id was modified")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	j = openJournal(path)
	defer j.Close()
	if !j.created.Equal(created) {
		t.Errorf("created at %v, was %v", j.created, created)
	}
	open, err := j.Unfinished()
	if err != nil || len(open) != 2 || open[0].Command.ID != "a1" || open[0].Phase != phaseActing {
		t.Errorf("unfinished: %v, %v", open, err)
	}
	barrier, err := j.Barrier()
	if err != nil || !barrier.Equal(stop.Command.IssuedAt) {
		t.Errorf("barrier %v, %v; the stop was issued at %v", barrier, err, stop.Command.IssuedAt)
	}
	if done, err := j.Get("d1"); err != nil || done.Outcome.Outcome != control.Succeeded {
		t.Errorf("done: %+v, %v", done, err)
	}
}

// scribble writes over four bytes in each page of that kind.
func scribble(kind func(page []byte) bool, at int, with byte) func(path string) error {
	return func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for page := 2 * os.Getpagesize(); page < len(b); page += os.Getpagesize() {
			if kind(b[page:]) {
				for i := range 4 {
					b[page+at+i] = with
				}
			}
		}
		return os.WriteFile(path, b, 0o600)
	}
}

func TestDamagedJournalIsSealed(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"rubbish":   func(path string) error { return os.WriteFile(path, []byte("not a database, surely"), 0o600) },
		"truncated": func(path string) error { return os.Truncate(path, 5000) },
		"zeroed": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt(make([]byte, 16<<10), 0)
			return err
		},
		// Inside bbolt's own check the next two would be the end of the process.
		"a child page far outside": scribble(func(page []byte) bool { return page[8] == 1 }, 16+8, 0xd1),
		"a key far outside":        scribble(func(page []byte) bool { return page[8] == 2 }, 16+4, 0x7f),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			j := openJournal(path)
			for i := range 200 {
				if err := j.Put(rec(fmt.Sprintf("id-%d", i), control.StartTestbed, phaseDone)); err != nil {
					t.Fatal(err)
				}
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			j = openJournal(path)
			defer j.Close()
			err := j.Sealed()
			if err == nil { // bbolt may find a good meta page; then what it has must be readable
				if _, err = j.Get("id-1"); err == nil {
					_, err = j.Unfinished()
				}
			}
			if err == nil {
				t.Skip("this damage left a database that bbolt finds whole")
			}
			if putErr := j.Put(rec("new", control.StartTestbed, phaseAccepted)); swf.AsError(putErr) == nil {
				t.Error("a damaged journal took a command")
			}
		})
	}
}

func TestSweepKeepsWhatACopyCanStillMatch(t *testing.T) {
	j := openJournal(filepath.Join(t.TempDir(), "journal.db"))
	defer j.Close()
	old := rec("old", control.StartTestbed, phaseDone)
	old.DoneAt = time.Now().Add(-8 * 24 * time.Hour)
	old.Command.ExpiresAt = old.DoneAt
	live := rec("live", control.StartTestbed, phaseDone)
	live.DoneAt = old.DoneAt // done long ago by the clock, but not expired
	open := rec("open", control.StartTestbed, phaseActing)
	for _, r := range []*record{old, live, open} {
		if err := j.Put(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Sweep(time.Now(), keepOutcomes); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"old": false, "live": true, "open": true} {
		if r, err := j.Get(id); err != nil || (r != nil) != want {
			t.Errorf("%s: kept %v, want %v (%v)", id, r != nil, want, err)
		}
	}
	if j.count != 2 {
		t.Errorf("count %d", j.count)
	}
}

func TestLockNamesItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	l, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = TryLock(path)
	if held := new(HeldError); !errors.As(err, &held) || !strings.Contains(held.Holder, fmt.Sprint("pid ", os.Getpid())) {
		t.Errorf("second holder: %v", err)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	l, err = TryLock(path)
	if err != nil {
		t.Fatalf("after the holder left: %v", err)
	}
	_ = l.Unlock()
}

// A panic of the database seals the journal: nothing that follows can be
// trusted. The one goroutine goes on.
func TestPanicSealsTheJournal(t *testing.T) {
	j := openJournal(filepath.Join(t.TempDir(), "journal.db"))
	defer j.Close()
	if err := j.view(func(_, _ *bolt.Bucket) error { panic("page 7 is already freed") }); err == nil {
		t.Error("a panic is no error")
	}
	if err := j.Put(rec("a", control.StartTestbed, phaseAccepted)); !swf.IsCode(err, swf.CodeJournalSealed) {
		t.Errorf("a damaged journal takes a record: %v", err)
	}
}

func TestCountIsOfWhatWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := openJournal(path)
	defer func() { j.Close() }()
	long := rec(strings.Repeat("x", bolt.MaxKeySize+1), control.StartTestbed, phaseAccepted)
	for range 3 {
		if err := j.Put(long); err == nil {
			t.Fatal("an id that is too long was written")
		}
	}
	for _, id := range []string{"a", "b", "a"} {
		if err := j.Put(rec(id, control.StartTestbed, phaseAccepted)); err != nil {
			t.Fatal(err)
		}
	}
	if j.count != 2 {
		t.Errorf("%d ids counted, want 2", j.count)
	}
	j.Close()
	if j = openJournal(path); j.count != 2 {
		t.Errorf("%d ids counted after opening, want 2", j.count)
	}
}

// A journal that was made, or a stop that was issued, while the clock was
// ahead does not refuse everything once the clock is right.
func TestClockThatWasAhead(t *testing.T) {
	b := newBench(t)
	b.left()
	j := openJournal(b.paths.Journal())
	ahead := time.Now().Add(time.Hour)
	if err := j.update(func(_, meta *bolt.Bucket) error {
		return errors.Join(putTime(meta, keyCreated, ahead), putTime(meta, keyBarrier, ahead))
	}); err != nil {
		t.Fatal(err)
	}
	j.Close()
	b.manager()
	b.want(b.ask(control.Command{Verb: control.StartTestbed}), control.Succeeded, "")
}
