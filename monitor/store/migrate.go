package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/sqlite/*.sql
var sqliteMigrations embed.FS

// migrateTries is how often migrate looks again; once suffices if whoever was
// first ends well.
const migrateTries = 3

// migrate brings the schema to the newest version. A database that a newer
// program has migrated further is left alone: columns are only ever added.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(sqliteMigrations, "migrations/sqlite")
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	// Of several programs that open a new file at once one migrates, and the
	// others fail on what it has made: they look again.
	for range migrateTries {
		if _, err = p.Up(ctx); err == nil {
			return nil
		}
	}
	return fmt.Errorf("store: migrate: %w", err)
}
