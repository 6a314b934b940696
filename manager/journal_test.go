package manager

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
