package store

import (
	"context"
	"fmt"
	"time"
)

// Bounds of a log summary, and the Python level from which a record is an
// error.
const (
	summaryRows  = 1000
	recentErrors = 5
	errorLevel   = 40
)

// ErrorCount is how many errors of one level one instance has logged.
type ErrorCount struct {
	App, Instance, Level string
	Count                int64
}

// LogSummary is the errors in the log: their number by source and level, and
// the newest few of each source.
type LogSummary struct {
	Counts []ErrorCount
	Recent []Record // of Logs, newest first within a source
}

// LogSummary sums up the errors logged since the given time.
func (s *Store) LogSummary(ctx context.Context, since time.Time) (LogSummary, error) {
	var sum LogSummary
	rows, err := s.read.QueryContext(ctx, `SELECT app_name, instance_name, levelname, COUNT(*) FROM logs
		WHERE level >= $1 AND timestamp >= $2 GROUP BY app_name, instance_name, levelname
		ORDER BY app_name, instance_name, levelname LIMIT $3`, errorLevel, since.UnixMicro(), summaryRows)
	if err != nil {
		return sum, fmt.Errorf("store: log summary: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c ErrorCount
		if err := rows.Scan(&c.App, &c.Instance, &c.Level, &c.Count); err != nil {
			return sum, fmt.Errorf("store: log summary: %w", err)
		}
		sum.Counts = append(sum.Counts, c)
	}
	if err := rows.Err(); err != nil {
		return sum, fmt.Errorf("store: log summary: %w", err)
	}
	sum.Recent, err = s.recentErrors(ctx, since)
	return sum, err
}

func (s *Store) recentErrors(ctx context.Context, since time.Time) ([]Record, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+columnsSQL(Logs)+` FROM (
		SELECT *, ROW_NUMBER() OVER (PARTITION BY app_name, instance_name ORDER BY timestamp DESC, id DESC) AS nth
		FROM logs WHERE level >= $1 AND timestamp >= $2) AS ranked
		WHERE nth <= $3 ORDER BY timestamp DESC, id DESC LIMIT $4`,
		errorLevel, since.UnixMicro(), recentErrors, summaryRows)
	if err != nil {
		return nil, fmt.Errorf("store: recent errors: %w", err)
	}
	defer rows.Close()
	var recent []Record
	bytes := 0
	for rows.Next() && bytes <= maxBytes {
		r, err := scan(Logs, rows)
		if err != nil {
			return nil, err
		}
		bytes += r.size()
		recent = append(recent, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: recent errors: %w", err)
	}
	return recent, nil
}
