package store

import (
	"context"
	"fmt"
	"time"
)

// maxBins bounds a histogram.
const maxBins = 5000

// Bin is how many records fall into one stretch of time, which begins at At.
type Bin struct {
	At    time.Time
	Count int64
}

// Histogram counts the records that q selects, whatever its bounds, by the
// time in a column, in stretches of width, oldest first. Stretches without a
// record are left out. At most 5000 come back.
func (s *Store) Histogram(ctx context.Context, t *Table, q Query, column string, width time.Duration) ([]Bin, error) {
	c, ok := t.Column(column)
	if !ok || c.Kind != Time || width < time.Microsecond {
		return nil, fmt.Errorf("store: no histogram of %s by %q in steps of %s", t.Name, column, width)
	}
	where, args, err := whereSQL(t, q, nil)
	if err != nil {
		return nil, err
	}
	query := fmt.Sprintf("SELECT %s / %d AS bin, COUNT(*) FROM %s%s GROUP BY bin ORDER BY bin LIMIT %d",
		column, width.Microseconds(), t.Name, where, maxBins)
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("store: histogram of %s: %w", t.Name, err)
	}
	defer rows.Close()
	var bins []Bin
	for rows.Next() {
		var number int64
		var b Bin
		if err := rows.Scan(&number, &b.Count); err != nil {
			return nil, fmt.Errorf("store: histogram of %s: %w", t.Name, err)
		}
		b.At = time.UnixMicro(number * width.Microseconds()).UTC()
		bins = append(bins, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: histogram of %s: %w", t.Name, err)
	}
	return bins, nil
}
