package store

import (
	"context"
	"fmt"
	"time"

	"github.com/epic-swf/testbed/swf"
)

const (
	// StaleAfter is how long an agent may be silent before it counts as exited
	// (contract 1.4), by the store's clock.
	StaleAfter = 3 * time.Minute
	sweepEvery = 10 * time.Second
	// LogsKept bounds the log records: anybody may write them.
	LogsKept = 100_000
)

// Run sweeps every 10 s until ctx ends, and returns its error. A sweep that
// fails is logged and tried again.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		stale, err := s.Sweep(ctx)
		if err == nil {
			_, err = s.PruneLogs(ctx, LogsKept)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("sweep of the store failed", "error", err)
		}
		if stale > 0 {
			s.log.Info("silent agents marked as exited", "count", stale)
		}
	}
}

// Sweep marks agents as EXITED that have been silent for StaleAfter and
// returns how many. The lease starts anew when the store is opened: while it
// was closed nobody could beat.
func (s *Store) Sweep(ctx context.Context) (int64, error) {
	now := s.now()
	cutoff := now.Add(-StaleAfter)
	if s.opened.After(cutoff) {
		return 0, nil
	}
	res, err := s.write.ExecContext(ctx, `UPDATE agents SET status = $1, operational_state = $2, updated_at = $3
		WHERE last_heartbeat < $4 AND NOT (status = $1 AND operational_state = $2)`,
		swf.StatusExited, swf.OpExited, now.UnixMicro(), cutoff.UnixMicro())
	if err != nil {
		return 0, fmt.Errorf("store: sweep: %w", err)
	}
	return res.RowsAffected()
}

// PruneLogs removes the oldest log records beyond keep and returns how many.
func (s *Store) PruneLogs(ctx context.Context, keep int64) (int64, error) {
	res, err := s.write.ExecContext(ctx, `DELETE FROM logs WHERE id <= (SELECT COALESCE(MAX(id), 0) FROM logs) - $1`, keep)
	if err != nil {
		return 0, fmt.Errorf("store: prune logs: %w", err)
	}
	return res.RowsAffected()
}
