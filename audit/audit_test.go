package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// failing is a full disk while full is set.
type failing struct {
	bytes.Buffer
	full bool
}

func (f *failing) Write(b []byte) (int, error) {
	if f.full {
		return 0, errors.New("no space left on device")
	}
	return f.Buffer.Write(b)
}

func TestTrailGoesOnWithoutItsDisk(t *testing.T) {
	t.Parallel()
	var w failing
	var log bytes.Buffer
	trail := New("mcp", &w, slog.New(slog.NewTextHandler(&log, nil)))
	trail.Add(Record{Who: "ann", Action: "first"})
	w.full = true
	for range 5 {
		trail.Add(Record{Who: "ann", Action: "lost"})
	}
	if n := strings.Count(log.String(), "AUDIT TRAIL CANNOT"); n != 1 {
		t.Errorf("told %d times, want once: %s", n, log.String())
	}
	w.full = false
	trail.Add(Record{Who: "ann", Action: "last", Arguments: map[string]any{"bad": func() {}}})
	if !strings.Contains(log.String(), "lost=5") {
		t.Errorf("nobody says what was lost: %s", log.String())
	}
	var actions []string
	for line := range strings.Lines(w.String()) {
		var r Record
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Part != "mcp" || r.Time.IsZero() {
			t.Errorf("%v: %s", err, line)
		}
		actions = append(actions, r.Action)
	}
	if got := strings.Join(actions, " "); got != "first last" {
		t.Errorf("written: %s", got)
	}
	(*Trail)(nil).Add(Record{})
}

func TestFileRotates(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	const writers, lines = 4, 100
	var wg sync.WaitGroup
	for w := range writers { // each as if of a process of its own
		wg.Go(func() {
			f := OpenFile(path, FileOptions{MaxBytes: 1000, Keep: 1000})
			defer f.Close()
			for i := range lines {
				if _, err := fmt.Fprintf(f, "writer %d line %d\n", w, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	files, _ := filepath.Glob(path + "*")
	seen := map[string]bool{}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
		r, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for s := bufio.NewScanner(r); s.Scan(); {
			seen[s.Text()] = true
		}
		r.Close()
	}
	if len(seen) != writers*lines || len(files) < 5 {
		t.Errorf("%d different lines in %d files, want %d", len(seen), len(files), writers*lines)
	}
}

func TestFileKeepsFew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	f := OpenFile(path, FileOptions{MaxBytes: 20, Keep: 3})
	defer f.Close()
	for range 20 {
		if _, err := f.Write([]byte("fifteen bytes.\n")); err != nil {
			t.Fatal(err)
		}
	}
	if files, _ := filepath.Glob(path + "*"); len(files) != 4 {
		t.Errorf("kept: %v", files)
	}
}

func TestFileIsNotLedAstray(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := os.WriteFile(elsewhere, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, dir} {
		if _, err := OpenFile(path, FileOptions{}).Write([]byte("x")); err == nil {
			t.Errorf("%s was written", path)
		}
	}
	open := OpenFile(elsewhere, FileOptions{}) // mended
	defer open.Close()
	if _, err := open.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(elsewhere); info.Mode().Perm() != 0o600 {
		t.Error(info.Mode())
	}
}
