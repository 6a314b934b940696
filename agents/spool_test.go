package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// process is one life of a program with an outbox: it tells "n" events to got
// until told says no.
type process struct {
	o    *Outbox
	stop func()
}

func newProcess(t *testing.T, file string, tell func(n int, again bool) error) *process {
	t.Helper()
	return newProcessOf(t, file, 1, func(all []int, again bool) error { return tell(all[0], again) })
}

// newProcessOf is newProcess of a program that tells up to most events together.
func newProcessOf(t *testing.T, file string, most int, tell func(all []int, again bool) error) *process {
	t.Helper()
	o := NewOutbox(file, slog.New(slog.DiscardHandler))
	HandleAll(o, "n", most, func(_ context.Context, all []int, again bool) error { return tell(all, again) })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	p := &process{o: o, stop: func() { cancel(); <-done }}
	go func() { defer close(done); o.Run(ctx) }()
	t.Cleanup(p.stop)
	return p
}

func (p *process) add(first, last int) {
	for n := first; n <= last; n++ {
		p.o.Add("n", fmt.Sprint("event ", n), n)
	}
}

func numbers(first, last int) (ns []int) {
	for n := first; n <= last; n++ {
		ns = append(ns, n)
	}
	return ns
}

func settle(t *testing.T, o *Outbox) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !o.Settle(ctx) {
		t.Fatalf("%d calls wait still", o.Len())
	}
}

// What one process could not tell the next one does, in order, and says of the
// one that may have been under way that it may be known.
func TestOutboxOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "outbox", "agent.events")
	tried := make(chan int, 100)
	first := newProcess(t, file, func(n int, _ bool) error { tried <- n; return errDown })
	first.o.Do("dies with its process", func(context.Context) error { return nil })
	first.add(1, 50)
	if n := <-tried; n != 1 {
		t.Errorf("began with %d", n)
	}
	first.stop()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}

	var got, twice []int
	second := newProcess(t, file, func(n int, again bool) error {
		got = append(got, n)
		if again {
			twice = append(twice, n)
		}
		return nil
	})
	second.add(51, 60) // perhaps before it has opened the file
	settle(t, second.o)
	second.stop()
	if !slices.Equal(got, numbers(1, 60)) || !slices.Equal(twice, []int{1}) {
		t.Errorf("told %v, of these again %v", got, twice)
	}
	if info, err := os.Stat(file); err != nil || info.Size() != 0 {
		t.Errorf("what is told is kept: %v, %v", info, err)
	}
}

// A file that a crash or a disk has damaged loses no more than was damaged.
func TestSpoolReadsWhatIsWhole(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x")
	whole := func(n int) string { return fmt.Sprintf(`{"n":%d,"kind":"n","what":"w","data":%d}`+"\n", n, n) }
	for _, tc := range []struct {
		text string
		want []int
		bad  int
	}{
		{"", nil, 0},
		{whole(1) + whole(2), []int{1, 2}, 0},
		{whole(1) + whole(2) + whole(3) + `{"done":2}` + "\n", []int{3}, 0},
		{whole(1) + whole(2)[:9], []int{1}, 0},
		{whole(1) + "{{{\n" + whole(3), []int{1, 3}, 1},
		{"\x00\x00\x00\n[]\n" + whole(7), []int{7}, 2},
	} {
		if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var got []int
		s, bad, err := openSpool(file, func(l spoolLine, _ spooled) { got = append(got, int(l.N)) })
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, tc.want) || bad != tc.bad {
			t.Errorf("%q: %v and %d bad, want %v and %d", tc.text, got, bad, tc.want, tc.bad)
		}
		at, err := s.add("n", "w", json.RawMessage("42")) // what comes next stands on a line of its own
		if l, rerr := s.read(at); err != nil || rerr != nil || string(l.Data) != "42" {
			t.Errorf("%q: read %+v, %v, %v", tc.text, l, err, rerr)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
}

// The file does not grow with what is told while something always waits.
func TestSpoolForgetsWhatIsTold(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x")
	s, _, err := openSpool(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := json.RawMessage(`"` + strings.Repeat("x", 10_000) + `"`)
	const events, waiting = 3000, 5
	var all []spooled
	for n := range events {
		at, err := s.add("n", "w", body)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, at)
		if n < waiting {
			continue
		}
		if err := s.done(all[n-waiting], &all[n-waiting+1]); err != nil {
			t.Fatal(err)
		}
		if l, err := s.read(all[n]); err != nil || l.N != uint64(n+1) {
			t.Fatalf("event %d: %+v, %v", n, l.N, err)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Size() > 3*spoolCompact {
		t.Errorf("%v, %v", info, err)
	}
	s.close()
	left := 0
	s, bad, err := openSpool(file, func(spoolLine, spooled) { left++ })
	if err != nil || bad != 0 || left != waiting {
		t.Errorf("%d left, %d bad, %v", left, bad, err)
	}
	s.close()
}

// Two processes of one name do not share a file: the second one remembers.
func TestSpoolHasOneOwner(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x")
	s, _, err := openSpool(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, _, err := openSpool(file, nil); err == nil {
		t.Error("opened twice")
	}
	var got []int
	p := newProcess(t, file, func(n int, _ bool) error { got = append(got, n); return nil })
	p.add(1, 3)
	settle(t, p.o)
	p.stop()
	if !slices.Equal(got, numbers(1, 3)) {
		t.Errorf("told %v", got)
	}
}

// An event of a kind that this version does not know is no obstacle.
func TestOutboxPassesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x")
	text := `{"n":1,"kind":"from tomorrow","what":"w","data":{}}` + "\n" + `{"n":2,"kind":"n","what":"w","data":"not a number"}` + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []int
	p := newProcess(t, file, func(n int, _ bool) error { got = append(got, n); return nil })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !p.o.Wait(ctx, p.o.Add("n", "event 3", 3)) {
		t.Fatal("it waits still")
	}
	p.stop()
	if !slices.Equal(got, []int{3}) {
		t.Errorf("told %v", got)
	}
}

// FuzzSpool: whatever stands in the file, opening it neither fails nor loses
// what is added then.
func FuzzSpool(f *testing.F) {
	f.Add([]byte(`{"n":1,"kind":"n","what":"w","data":1}` + "\n" + `{"done":1}` + "\n"))
	f.Add([]byte("{\"n\":18446744073709551615}\n{}\n\n{\"n\":-1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, _, err := openSpool(file, func(spoolLine, spooled) {})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.add("n", "w", json.RawMessage("42")); err != nil {
			t.Fatal(err)
		}
		s.close()
		found := false
		s, _, err = openSpool(file, func(l spoolLine, _ spooled) { found = found || string(l.Data) == "42" })
		if err != nil || !found {
			t.Fatalf("what was added is lost: %v", err)
		}
		s.close()
	})
}
