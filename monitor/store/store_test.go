package store_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openSQLite(t *testing.T, path string, now func() time.Time) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: path, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestSQLite runs the suite, to which other back-ends will be added, over
// SQLite.
func TestSQLite(t *testing.T) {
	suite(t, func(t *testing.T) func(now func() time.Time) *store.Store {
		path := filepath.Join(t.TempDir(), "monitor.db")
		return func(now func() time.Time) *store.Store { return openSQLite(t, path, now) }
	})
}

func TestFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder?with#marks%20", "monitor.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	openSQLite(t, path, nil)
	for _, name := range []string{path, path + "-wal"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v", filepath.Base(name), info.Mode())
		}
	}
}

func TestOpenFailures(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte("this is no database, it is a letter to a friend, long enough to be read as one"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "no", "folder.db"), dir, garbage} {
		if s, err := store.Open(t.Context(), store.Options{Path: path}); !swf.IsCode(err, swf.CodeEnvironment) {
			t.Errorf("%s: %v", path, err)
			if s != nil {
				s.Close()
			}
		}
	}
}

// TestRunSweeps: the timer alone ends a silent agent, and Run ends with its
// context.
func TestRunSweeps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "monitor.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(context.Background(), store.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		beat(t, s, "a", "READY")
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(store.StaleAfter - time.Second) // the bubble's time
		if got := state(t, s, "a"); got != "READY" {
			t.Errorf("too early: %s", got)
		}
		time.Sleep(12 * time.Second)
		if got := state(t, s, "a"); got != "EXITED" {
			t.Errorf("after its lease: %s", got)
		}
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Errorf("Run: %v", err)
		}
	})
}

func beat(t *testing.T, s *store.Store, name, state string) {
	t.Helper()
	if _, _, err := s.Beat(context.Background(), store.Beat{Values: store.Record{"instance_name": name, "operational_state": state, "status": "OK"}}); err != nil {
		t.Fatal(err)
	}
}

func state(t *testing.T, s *store.Store, name string) any {
	t.Helper()
	r, err := s.Get(context.Background(), store.Agents, "instance_name", name)
	if err != nil {
		t.Fatal(err)
	}
	return r["operational_state"]
}

// TestOpenedAtOnce: programs that start together on a new file all get it.
func TestOpenedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "monitor.db")
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := store.Open(t.Context(), store.Options{Path: path})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := s.Next(t.Context(), store.AgentIDs); err != nil {
				t.Error(err)
			}
			s.Close()
		})
	}
	wg.Wait()
}
