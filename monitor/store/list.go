package store

import (
	"context"
	"fmt"
)

// Bounds of one list, whichever is reached first.
const (
	MaxRows  = 1000
	maxBytes = 4 << 20
)

// Page is a part of a list. More says that records follow which the bounds cut
// off.
type Page struct {
	Records []Record
	More    bool
}

// List returns records in the table's order, mostly newest first, within the
// bounds.
func (s *Store) List(ctx context.Context, t *Table, q Query) (Page, error) {
	where, args, err := whereSQL(t, q, nil)
	if err != nil {
		return Page{}, err
	}
	limit := q.Limit
	if limit <= 0 || limit > MaxRows {
		limit = MaxRows
	}
	order := t.Order
	if q.Oldest {
		order = backwards(order)
	}
	query := fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT %d OFFSET %d",
		columnsSQL(t), t.Name, where, order, limit+1, max(0, q.Offset))
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return Page{}, fmt.Errorf("store: list %s: %w", t.Name, err)
	}
	defer rows.Close()
	page, bytes := Page{Records: []Record{}}, 0
	for rows.Next() {
		if len(page.Records) == limit || bytes > maxBytes {
			page.More = true
			break
		}
		r, err := scan(t, rows)
		if err != nil {
			return Page{}, err
		}
		bytes += r.size()
		page.Records = append(page.Records, r)
	}
	if err := rows.Err(); err != nil {
		return Page{}, fmt.Errorf("store: list %s: %w", t.Name, err)
	}
	return page, nil
}

// Count returns how many records q selects, whatever its bounds.
func (s *Store) Count(ctx context.Context, t *Table, q Query) (int64, error) {
	where, args, err := whereSQL(t, q, nil)
	if err != nil {
		return 0, err
	}
	var n int64
	if err := s.read.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+t.Name+where, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("store: count %s: %w", t.Name, err)
	}
	return n, nil
}
