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
	tidyEvery  = time.Hour
)

// Run sweeps every 10 s and removes what is too old or too much at once and
// every hour, until ctx ends; it returns ctx's error. What fails is logged and
// tried again.
func (s *Store) Run(ctx context.Context) error {
	sweep, tidy := time.NewTicker(sweepEvery), time.NewTicker(tidyEvery)
	defer sweep.Stop()
	defer tidy.Stop()
	s.tidy(ctx)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tidy.C:
			s.tidy(ctx)
			continue
		case <-sweep.C:
		}
		stale, err := s.Sweep(ctx)
		if err == nil {
			_, err = s.SweepExecutions(ctx)
		}
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
