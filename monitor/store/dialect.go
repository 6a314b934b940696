package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"github.com/pressly/goose/v3"
)

// dialect is what differs between the databases. Statements do not: $1 is read
// by both, and the schemas differ in how a key is numbered.
type dialect struct {
	goose      goose.Dialect
	migrations string // the folder of its schema
	oneWriter  bool   // one transaction at a time writes
	// mark is the nth argument in a statement with thousands of them. In SQLite
	// $1 and ?1 are names, and for each of them the driver searches all names.
	mark func(n int) string
	// forUpdate ends a SELECT whose record nobody else may change before the
	// transaction ends.
	forUpdate string
	// hold keeps a name to this transaction until it ends.
	hold string
	// migrating and migrated stand around the work on the schema.
	migrating, migrated string
	// broken names the constraint behind a driver's error: the columns of a
	// unique one, a reference, or neither.
	broken func(t *Table, err error) (unique []string, reference bool)
}

// In SQLite a transaction that writes is the only one: BEGIN IMMEDIATE.
var sqliteDialect = dialect{goose: goose.DialectSQLite3, migrations: "migrations/sqlite", oneWriter: true, mark: func(int) string { return "?" }, broken: brokenInSQLite}

// The number is this program's own among the users of advisory locks.
var postgresDialect = dialect{goose: goose.DialectPostgres, migrations: "migrations/postgres", mark: func(n int) string { return "$" + strconv.Itoa(n) },
	forUpdate: " FOR UPDATE",
	hold:      "SELECT pg_advisory_xact_lock(7306, hashtext($1))",
	migrating: "SELECT pg_advisory_lock(7306)", migrated: "SELECT pg_advisory_unlock(7306)",
	broken: brokenInPostgres}

// hold keeps name to the transaction: whoever else asks for it waits.
func (s *Store) hold(ctx context.Context, tx *sql.Tx, name any) error {
	if s.dialect.hold == "" {
		return nil
	}
	if _, err := tx.ExecContext(ctx, s.dialect.hold, name); err != nil {
		return fmt.Errorf("store: hold %v: %w", name, err)
	}
	return nil
}
