package store_test

import (
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/test/postgres"
)

// before are records of the first schema, as it had them.
var before = []string{
	`INSERT INTO agents (instance_name, last_heartbeat, created_at, updated_at) VALUES ('a', 1, 1, 1)`,
	`INSERT INTO sequences (name, next_value, updated_at) VALUES ('run_number', 100020, 1)`,
	`INSERT INTO runs (run_number, start_time) VALUES (100010, 1)`,
	`INSERT INTO stf_files (file_id, run, stf_filename, created_at) VALUES ('f', 1, 'n', 1)`,
	`INSERT INTO run_states (run_number, phase, state, target_worker_count, state_changed_at, created_at, updated_at) VALUES (100010, 'p', 's', 1, 1, 1, 1)`,
}

// TestMigrations: a database of any earlier schema is brought up with what is
// in it.
func TestMigrations(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		testMigrations(t, goose.DialectSQLite3, "migrations/sqlite", func(t *testing.T) (*sql.DB, func() *store.Store) {
			path := filepath.Join(t.TempDir(), "monitor.db")
			return openSQL(t, "sqlite", path), func() *store.Store { return openSQLite(t, path, nil) }
		})
	})
	t.Run("postgres", func(t *testing.T) {
		cluster := postgres.Start(t)
		testMigrations(t, goose.DialectPostgres, "migrations/postgres", func(t *testing.T) (*sql.DB, func() *store.Store) {
			dsn := cluster.Database(t)
			return openSQL(t, "pgx", dsn), func() *store.Store { return openPostgres(t, dsn, nil) }
		})
	})
}

func openSQL(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func testMigrations(t *testing.T, dialect goose.Dialect, folder string, fresh func(*testing.T) (*sql.DB, func() *store.Store)) {
	files, err := fs.Glob(os.DirFS(folder), "*.sql")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for version := 1; version < len(files); version++ {
		t.Run(fmt.Sprint("from ", version), func(t *testing.T) {
			db, open := fresh(t)
			p, err := goose.NewProvider(dialect, db, os.DirFS(folder), goose.WithLogger(goose.NopLogger()))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.UpTo(t.Context(), int64(version)); err != nil {
				t.Fatal(err)
			}
			for _, statement := range before {
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			s := open()
			if n, err := s.Next(t.Context(), store.RunNumbers); n != 100020 || err != nil {
				t.Errorf("sequence: %d, %v", n, err)
			}
			if r, err := s.Get(t.Context(), store.RunStates, "run_number", int64(100010)); err != nil || r["state"] != "s" {
				t.Errorf("run state: %v, %v", r, err)
			}
			// What is new refers to what was there.
			if _, err := s.Insert(t.Context(), store.FastMonFiles, store.Record{"tf_file_id": "t", "stf_file": "n", "tf_filename": "n_tf"}); err != nil {
				t.Error(err)
			}
			h := runStep(0, 0, 1, store.Record{"state": "beam"})
			record(t, s, h)
			if r, err := s.Get(t.Context(), store.RunStates, "run_number", int64(100010)); err != nil || r["state"] != "beam" {
				t.Errorf("run state, moved: %v, %v", r, err)
			}
			// A newer program has been here: its schema is left alone.
			if _, err := db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, TRUE)`); err != nil {
				t.Fatal(err)
			}
			open()
		})
	}
}

// TestSchemasAgree: the two schemas have the same versions. That they have the
// same columns is what the suite shows.
func TestSchemasAgree(t *testing.T) {
	var names [2][]string
	for i, folder := range []string{"migrations/sqlite", "migrations/postgres"} {
		var err error
		if names[i], err = fs.Glob(os.DirFS(folder), "*.sql"); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(names[0]) != fmt.Sprint(names[1]) {
		t.Errorf("%v and %v", names[0], names[1])
	}
}
