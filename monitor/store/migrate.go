package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/sqlite/*.sql migrations/postgres/*.sql
var migrations embed.FS

// migrateTries is how often migrate looks again; once suffices if whoever was
// first ends well.
const migrateTries = 3

// migrate brings the schema to the newest version. A database that a newer
// program has migrated further is left alone: columns are only ever added.
func (s *Store) migrate(ctx context.Context) (err error) {
	files, err := fs.Sub(migrations, s.dialect.migrations)
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	p, err := goose.NewProvider(s.dialect.goose, s.write, files, goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	release, err := s.alone(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	// Of several programs that open a new SQLite file at once one migrates, and
	// the others fail on what it has made: they look again.
	for range migrateTries {
		if _, err = p.Up(ctx); err == nil {
			return nil
		}
	}
	return fmt.Errorf("store: migrate: %w", err)
}

// alone waits until no other program works on the schema, where the database
// can tell.
func (s *Store) alone(ctx context.Context) (release func() error, err error) {
	if s.dialect.migrating == "" {
		return func() error { return nil }, nil
	}
	var conn *sql.Conn
	if conn, err = s.write.Conn(ctx); err == nil {
		if _, err = conn.ExecContext(ctx, s.dialect.migrating); err != nil {
			err = errors.Join(err, conn.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("store: waiting for the schema: %w", err)
	}
	return func() error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), s.dialect.migrated)
		return errors.Join(err, conn.Close())
	}, nil
}
