package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
)

// instancesKept is how many processes of one agent's name are remembered.
const instancesKept = 8

// Beat is one heartbeat. Values are columns of Agents, instance_name among
// them. Instance names the process that beats and Seq numbers its heartbeats;
// Instance is "" for those that do not tell (the Python agents).
type Beat struct {
	Values   Record
	Instance string
	Seq      int64
	New      Record // further columns of an agent that is not known yet; nil: none
}

// Beat stores a heartbeat, with last_heartbeat from the store's clock, and
// returns the agent and whether it is new. A heartbeat whose number its
// process has reached already came late: it changes nothing, so it cannot
// revive an agent that has said EXITED, even if another process beats under
// the name by now.
func (s *Store) Beat(ctx context.Context, b Beat) (agent Record, created bool, err error) {
	if s.dialect.oneWriter {
		return s.beatTogether(ctx, b)
	}
	return s.beatAlone(ctx, b)
}

// beatAlone is Beat in a transaction of its own.
func (s *Store) beatAlone(ctx context.Context, b Beat) (agent Record, created bool, err error) {
	err = s.transact(ctx, func(tx *sql.Tx) error {
		agent, created, err = s.beat(ctx, tx, b)
		return err
	})
	return agent, created, err
}

func (s *Store) beat(ctx context.Context, tx *sql.Tx, b Beat) (agent Record, created bool, err error) {
	name := b.Values["instance_name"]
	if err := s.hold(ctx, tx, name); err != nil {
		return nil, false, err
	}
	current, err := get(ctx, tx, Agents, "instance_name", name, "")
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, false, err
	}
	late, err := s.late(ctx, tx, name, b)
	if err != nil {
		return nil, false, err
	}
	if late && current != nil {
		return current, false, nil
	}
	values := maps.Clone(b.Values)
	values["last_heartbeat"] = s.now().UTC()
	if current == nil {
		maps.Copy(values, b.New)
		agent, err = s.insert(ctx, tx, Agents, values)
		return agent, true, err
	}
	agent, err = s.set(ctx, tx, Agents, current, values)
	return agent, false, err
}

// late reports whether b came late, and if not remembers its number.
func (s *Store) late(ctx context.Context, tx *sql.Tx, name any, b Beat) (bool, error) {
	if b.Instance == "" {
		return false, nil
	}
	var seq int64
	err := tx.QueryRowContext(ctx, `SELECT seq FROM agent_instances WHERE instance_name = $1 AND instance = $2`,
		name, b.Instance).Scan(&seq)
	now := s.now().UnixMicro()
	switch {
	case errors.Is(err, sql.ErrNoRows):
		if _, err = tx.ExecContext(ctx, `INSERT INTO agent_instances (instance_name, instance, seq, seen_at)
			VALUES ($1, $2, $3, $4)`, name, b.Instance, b.Seq, now); err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM agent_instances WHERE instance_name = $1 AND instance NOT IN (
				SELECT instance FROM agent_instances WHERE instance_name = $1 ORDER BY seen_at DESC, instance DESC LIMIT $2)`,
				name, instancesKept)
		}
	case err == nil && b.Seq <= seq:
		return true, nil
	case err == nil:
		_, err = tx.ExecContext(ctx, `UPDATE agent_instances SET seq = $1, seen_at = $2
			WHERE instance_name = $3 AND instance = $4`, b.Seq, now, name, b.Instance)
	}
	if err != nil {
		return false, fmt.Errorf("store: heartbeat of %v: %w", name, err)
	}
	return false, nil
}
