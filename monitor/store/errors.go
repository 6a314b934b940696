package store

import (
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrNotFound says that there is no such record.
var ErrNotFound = errors.New("store: no such record")

// ErrReference says that a record names another that does not exist.
var ErrReference = errors.New("store: a record refers to one that does not exist")

// ConflictError says that a value, or a combination, that must be unique is
// there already.
type ConflictError struct {
	Table   *Table
	Columns []string
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("store: %s with this %s exists already", e.Table.Name, strings.Join(e.Columns, ", "))
}

// asConflict names the broken constraint behind a driver's error.
func asConflict(t *Table, err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("store: %s: %w", t.Name, err)
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return &ConflictError{Table: t, Columns: uniqueColumns(t, e.Error())}
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return fmt.Errorf("%w (%s)", ErrReference, t.Name)
	}
	return fmt.Errorf("store: %s: %w", t.Name, err)
}

// uniqueColumns reads the columns out of SQLite's text, which lists them as
// "table.column, table.column".
func uniqueColumns(t *Table, text string) []string {
	var found []string
	for _, c := range t.Columns {
		for _, end := range []string{",", " ", ""} {
			name := t.Name + "." + c.Name + end
			if (end == "" && strings.HasSuffix(text, name)) || (end != "" && strings.Contains(text, name)) {
				found = append(found, c.Name)
				break
			}
		}
	}
	if found == nil {
		found = []string{t.Key}
	}
	return found
}
