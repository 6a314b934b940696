package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
)

// Insert adds a record and returns it as stored. Columns absent from r are
// NULL or the schema's default; created_at and updated_at are the store's
// clock. Errors: *ConflictError, ErrReference.
func (s *Store) Insert(ctx context.Context, t *Table, r Record) (Record, error) {
	return s.insert(ctx, s.write, t, r)
}

func (s *Store) insert(ctx context.Context, q querier, t *Table, r Record) (Record, error) {
	r = maps.Clone(r)
	now := s.now().UTC()
	if t.created && r["created_at"] == nil {
		r["created_at"] = now
	}
	if t.stamped {
		r["updated_at"] = now
	}
	query, args, err := insertSQL(t, r)
	if err != nil {
		return nil, err
	}
	return one(ctx, q, t, query, args)
}

// InsertAll is Insert of several records: all, in order, or none.
func (s *Store) InsertAll(ctx context.Context, t *Table, records []Record) ([]Record, error) {
	made := make([]Record, len(records))
	err := s.transact(ctx, func(tx *sql.Tx) (err error) {
		q := repeating(tx, len(records))
		for i, r := range records {
			if made[i], err = s.insert(ctx, q, t, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// Get returns the record whose column equals value. Error: ErrNotFound.
func (s *Store) Get(ctx context.Context, t *Table, column string, value any) (Record, error) {
	return get(ctx, s.read, t, column, value, "")
}

func get(ctx context.Context, q querier, t *Table, column string, value any, forUpdate string) (Record, error) {
	where, args, err := whereSQL(t, Query{Equal: map[string]any{column: value}}, nil)
	if err != nil {
		return nil, err
	}
	return one(ctx, q, t, "SELECT "+columnsSQL(t)+" FROM "+t.Name+where+forUpdate, args)
}

// Update changes the record with that key in one transaction: change sees the
// record as it is and returns the columns to set. An empty answer changes
// nothing; an error of change is returned as it is. Key and created_at cannot
// be changed. Errors: ErrNotFound, *ConflictError, ErrReference.
func (s *Store) Update(ctx context.Context, t *Table, key any, change func(Record) (Record, error)) (Record, error) {
	updated, err := s.UpdateAll(ctx, t, []any{key}, func(_ int, current Record) (Record, error) { return change(current) })
	if err != nil {
		return nil, err
	}
	return updated[0], nil
}

// UpdateAll is Update of several records, all or none: change is told which of
// the keys it is asked about.
func (s *Store) UpdateAll(ctx context.Context, t *Table, keys []any, change func(i int, current Record) (Record, error)) ([]Record, error) {
	updated := make([]Record, len(keys))
	err := s.transact(ctx, func(tx *sql.Tx) error {
		q := repeating(tx, len(keys))
		for i, key := range keys {
			current, err := get(ctx, q, t, t.Key, key, s.dialect.forUpdate)
			if err != nil {
				return err
			}
			set, err := change(i, current)
			if err != nil {
				return err
			}
			if updated[i], err = s.set(ctx, q, t, current, set); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return updated, nil
}

// set writes the columns of set to the record current.
func (s *Store) set(ctx context.Context, q querier, t *Table, current, set Record) (Record, error) {
	set = maps.Clone(set)
	delete(set, t.Key)
	delete(set, "created_at")
	if len(set) == 0 {
		return current, nil
	}
	if t.stamped {
		set["updated_at"] = s.now().UTC()
	}
	query, args, err := updateSQL(t, current[t.Key], set)
	if err != nil {
		return nil, err
	}
	return one(ctx, q, t, query, args)
}

// Delete removes the record with that key and what depends on it. Error:
// ErrNotFound.
func (s *Store) Delete(ctx context.Context, t *Table, key any) error {
	where, args, err := whereSQL(t, Query{Equal: map[string]any{t.Key: key}}, nil)
	if err != nil {
		return err
	}
	res, err := s.write.ExecContext(ctx, "DELETE FROM "+t.Name+where, args...)
	if err != nil {
		return asConflict(t, err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return fmt.Errorf("store: delete from %s: %w", t.Name, err)
	} else if n == 0 {
		return ErrNotFound
	}
	return nil
}
