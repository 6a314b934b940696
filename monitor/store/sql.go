package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// querier is what a connection pool and a transaction have in common.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// repeated is a transaction in which the same statements come again and again:
// each is read once.
type repeated struct {
	*sql.Tx
	statements map[string]*sql.Stmt // they end with the transaction
}

// repeating is tx for so many records.
func repeating(tx *sql.Tx, records int) querier {
	if records < 2 {
		return tx
	}
	return repeated{tx, make(map[string]*sql.Stmt)}
}

// QueryContext implements querier.
func (r repeated) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	statement, ok := r.statements[query]
	if !ok {
		var err error
		if statement, err = r.Tx.PrepareContext(ctx, query); err != nil {
			return nil, err
		}
		r.statements[query] = statement
	}
	return statement.QueryContext(ctx, args...)
}

// Statements are built from the tables' own column names; what comes from
// outside is always an argument. Both databases read them.

func columnsSQL(t *Table) string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

func insertSQL(t *Table, r Record) (string, []any, error) {
	names, args, err := bind(t, r)
	if err != nil {
		return "", nil, err
	}
	marks := make([]string, len(names))
	for i := range names {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) RETURNING %s", t.Name,
		strings.Join(names, ", "), strings.Join(marks, ", "), columnsSQL(t)), args, nil
}

func updateSQL(t *Table, key any, set Record) (string, []any, error) {
	names, args, err := bind(t, set)
	if err != nil {
		return "", nil, err
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%s = $%d", name, i+1)
	}
	return fmt.Sprintf("UPDATE %s SET %s WHERE %s = $%d RETURNING %s", t.Name,
		strings.Join(names, ", "), t.Key, len(args)+1, columnsSQL(t)), append(args, key), nil
}

// bind returns the columns of r in the table's order and their stored values.
func bind(t *Table, r map[string]any) (names []string, args []any, err error) {
	for _, c := range t.Columns {
		v, present := r[c.Name]
		if !present {
			continue
		}
		stored, err := c.toSQL(v)
		if err != nil {
			return nil, nil, err
		}
		names, args = append(names, c.Name), append(args, stored)
	}
	if len(names) != len(r) {
		for name := range r {
			if !slices.Contains(names, name) {
				return nil, nil, fmt.Errorf("store: %s has no column %q", t.Name, name)
			}
		}
	}
	return names, args, nil
}

// one runs a query that answers one record.
func one(ctx context.Context, q querier, t *Table, query string, args []any) (Record, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, asConflict(t, err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return nil, asConflict(t, err)
		}
		return nil, ErrNotFound
	}
	r, err := scan(t, rows)
	if err != nil {
		return nil, err
	}
	// An INSERT or UPDATE is done only when its rows have been read to the end.
	if rows.Next() {
		return nil, errors.New("store: more than one record of " + t.Name + " where one is possible")
	}
	if err := rows.Err(); err != nil {
		return nil, asConflict(t, err)
	}
	return r, nil
}

func scan(t *Table, rows *sql.Rows) (Record, error) {
	values := make([]any, len(t.Columns))
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, fmt.Errorf("store: scan %s: %w", t.Name, err)
	}
	r := make(Record, len(values))
	for i, c := range t.Columns {
		v, err := c.fromSQL(values[i])
		if err != nil {
			return nil, err
		}
		r[c.Name] = v
	}
	return r, nil
}
