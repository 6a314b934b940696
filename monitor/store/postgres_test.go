package store_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/test/postgres"
)

func openPostgres(t *testing.T, dsn string, now func() time.Time) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DSN: swf.Secret(dsn), Now: now})
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

// TestPostgres runs the suite over PostgreSQL.
func TestPostgres(t *testing.T) {
	cluster := postgres.Start(t)
	suite(t, func(t *testing.T) func(now func() time.Time) *store.Store {
		dsn := cluster.Database(t)
		return func(now func() time.Time) *store.Store { return openPostgres(t, dsn, now) }
	})
	t.Run("opened at once", func(t *testing.T) {
		dsn := cluster.Database(t)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				s, err := store.Open(t.Context(), store.Options{DSN: swf.Secret(dsn)})
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
	})
}

// TestPostgresFailures: the error names the database and never the password.
func TestPostgresFailures(t *testing.T) {
	for _, dsn := range []swf.Secret{"postgres://ann:hunter2@127.0.0.1:1/swf?connect_timeout=5", "host=/nowhere password=hunter2 dbname=x", "postgres://ann:hunter2@%zz/"} {
		s, err := store.Open(t.Context(), store.Options{DSN: dsn})
		if !swf.IsCode(err, swf.CodeEnvironment) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
		if s != nil {
			s.Close()
		}
	}
}
