package store

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNotFound says that there is no such record.
var ErrNotFound = errors.New("store: no such record")

// ErrReference says that a record names another that does not exist.
var ErrReference = errors.New("store: a record refers to one that does not exist")

// ErrNotBegun says that nothing was tried: the database is away, or others kept
// it at work for too long. What was to be written is not at fault.
var ErrNotBegun = errors.New("store: begin")

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
	for _, d := range []*dialect{&sqliteDialect, &postgresDialect} {
		unique, reference := d.broken(t, err)
		switch {
		case unique != nil:
			return &ConflictError{Table: t, Columns: unique}
		case reference:
			return fmt.Errorf("%w (%s)", ErrReference, t.Name)
		}
	}
	return fmt.Errorf("store: %s: %w", t.Name, err)
}
