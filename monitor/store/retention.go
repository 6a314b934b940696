package store

import (
	"context"
	"fmt"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// Bounds of what is kept whatever Options.Keep says, since anybody, or every
// run, adds to it; and how many records one statement removes: others wait for
// it.
const (
	LogsKept     = 100_000
	MessagesKept = 1_000_000
	MemoryKept   = 100_000
	pruneStep    = 2000
)

// retention is what goes when it is older than Options.Keep. In a condition $1
// is the time before which something is old.
var retention = []struct {
	table *Table
	old   string
}{
	{Messages, "sent_at < $1"},
	{Logs, "timestamp < $1"},
	{StateEvents, "timestamp < $1"},
	{AIMemory, "created_at < $1"},
	{Executions, "end_time < $1"},
	{Agents, "(status = '" + swf.StatusExited + "' OR operational_state = '" + swf.OpExited + "') AND COALESCE(last_heartbeat, updated_at) < $1"},
	// A subscriber is called "{agent}-{destination}" and is written once, at the
	// agent's start: it stays as long as the agent lives.
	{Subscribers, `updated_at < $1 AND NOT EXISTS (SELECT 1 FROM agents WHERE agents.operational_state <> '` + swf.OpExited + `'
		AND SUBSTR(subscribers.subscriber_name, 1, LENGTH(agents.instance_name) + 2) = agents.instance_name || '-/')`},
}

// Prune removes what is older than keep: messages, logs, events, dialogues,
// executions by their end, agents that have exited, and their subscribers. It
// returns how many records of each table went. Runs and files stay: they are
// what a testbed is for.
func (s *Store) Prune(ctx context.Context, keep time.Duration) (gone map[string]int64, err error) {
	gone = map[string]int64{}
	cutoff := s.now().Add(-keep).UnixMicro()
	for _, r := range retention {
		n, err := s.prune(ctx, r.table, r.old, cutoff)
		if n > 0 {
			gone[r.table.Name] = n
		}
		if err != nil {
			return gone, err
		}
	}
	_, err = s.write.ExecContext(ctx, `DELETE FROM agent_instances WHERE seen_at < $1 AND instance_name NOT IN (SELECT instance_name FROM agents)`, cutoff)
	if err != nil {
		return gone, fmt.Errorf("store: prune agent_instances: %w", err)
	}
	return gone, nil
}

// prune removes the records that fulfil a condition, a few at a time.
func (s *Store) prune(ctx context.Context, t *Table, old string, args ...any) (gone int64, err error) {
	query := fmt.Sprintf("DELETE FROM %s WHERE %s IN (SELECT %s FROM %s WHERE %s LIMIT %d)", t.Name, t.Key, t.Key, t.Name, old, pruneStep)
	for {
		res, err := s.write.ExecContext(ctx, query, args...)
		if err != nil {
			return gone, fmt.Errorf("store: prune %s: %w", t.Name, err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return gone, fmt.Errorf("store: prune %s: %w", t.Name, err)
		}
		gone += n
		if n < pruneStep {
			return gone, nil
		}
	}
}

// PruneLogs removes the oldest log records beyond keep and returns how many.
func (s *Store) PruneLogs(ctx context.Context, keep int64) (int64, error) {
	return s.prune(ctx, Logs, "id <= (SELECT COALESCE(MAX(id), 0) FROM logs) - $1", keep)
}

// PruneMessages removes the oldest bus messages beyond keep and returns how
// many.
func (s *Store) PruneMessages(ctx context.Context, keep int64) (int64, error) {
	return s.prune(ctx, Messages, `sent_at < (SELECT sent_at FROM workflow_messages ORDER BY sent_at DESC, message_id DESC LIMIT 1 OFFSET $1)`, max(0, keep-1))
}

// tidy is the hourly work of Run.
func (s *Store) tidy(ctx context.Context) {
	gone := map[string]int64{}
	var err error
	if s.keep > 0 {
		gone, err = s.Prune(ctx, s.keep)
	}
	for _, bound := range []struct {
		table *Table
		prune func() (int64, error)
	}{
		{Messages, func() (int64, error) { return s.PruneMessages(ctx, MessagesKept) }},
		{AIMemory, func() (int64, error) {
			return s.prune(ctx, AIMemory, "id <= (SELECT COALESCE(MAX(id), 0) FROM ai_memory) - $1", MemoryKept)
		}},
	} {
		if err == nil {
			var n int64
			if n, err = bound.prune(); n > 0 {
				gone[bound.table.Name] += n
			}
		}
	}
	switch {
	case err != nil && ctx.Err() == nil:
		s.log.Warn("old records could not be removed", "error", err)
	case len(gone) > 0:
		s.log.Info("old records removed", "records", gone)
	}
}
