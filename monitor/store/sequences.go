package store

import (
	"context"
	"errors"
	"fmt"
)

// Sequence names a counter and its first value.
type Sequence struct {
	Name  string
	First int64
}

// The sequences of the contract (1.4).
var (
	AgentIDs     = Sequence{"agent_id", 1}
	RunNumbers   = Sequence{"run_number", 100010}
	ExecutionIDs = Sequence{"workflow_execution_id", 1}
)

// Next returns the next number of the sequence; no two callers get the same.
func (s *Store) Next(ctx context.Context, q Sequence) (int64, error) {
	const bump = `INSERT INTO sequences (name, next_value, updated_at) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET next_value = sequences.next_value + 1, updated_at = excluded.updated_at
		RETURNING next_value`
	var next int64
	err := s.write.QueryRowContext(ctx, bump, q.Name, q.First+1, s.now().UnixMicro()).Scan(&next)
	if err != nil {
		return 0, fmt.Errorf("store: next %s: %w", q.Name, err)
	}
	return next - 1, nil
}

// EnsureNamespace returns the namespace of that name, made for this owner if
// there was none; one that exists keeps its owner and description.
func (s *Store) EnsureNamespace(ctx context.Context, name, owner, description string) (ns Record, created bool, err error) {
	ns, err = s.Get(ctx, Namespaces, "name", name)
	if !errors.Is(err, ErrNotFound) {
		return ns, false, err
	}
	ns, err = s.Insert(ctx, Namespaces, Record{"name": name, "owner": owner, "description": description})
	var taken *ConflictError
	if errors.As(err, &taken) { // another made it in between
		ns, err = s.Get(ctx, Namespaces, "name", name)
		return ns, false, err
	}
	return ns, err == nil, err
}
