package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Heard is what one bus message amounts to. Any part may be missing.
type Heard struct {
	// Message is a record of Messages. Its message_id follows from what it says,
	// so that the same message has the same id however often it comes.
	Message Record
	Step    *RunStep // taken only if Message is new
	Beat    *Beat
}

// RunStep is where a message moves the state of its run. Steps have an order
// of their own: rank, then tick, then time of sending. One that is not beyond
// the last taken is not taken, so the order in which they arrive leaves no
// trace.
type RunStep struct {
	Run         int64
	Rank        int64 // of the kind of step, from 0
	Tick        float64
	At          time.Time
	Set         Record // columns of RunStates
	ExecutionID string // for the metadata of a run that has none yet
}

// MaxHeard is how many messages one call of Record takes at most: each has up
// to 21 columns, and a statement of PostgreSQL 65,535 arguments.
const MaxHeard = 1000

// Record keeps a batch of bus messages, all or nothing, and reports which of
// them were new: false for one that had been recorded before and for one
// without a Message.
func (s *Store) Record(ctx context.Context, batch []Heard) (fresh []bool, err error) {
	fresh = make([]bool, len(batch))
	first := map[any]int{} // the first in the batch with an id
	var records []Record
	for i, h := range batch {
		if h.Message == nil {
			continue
		}
		id := h.Message["message_id"]
		if _, twice := first[id]; !twice {
			first[id] = i
			records = append(records, h.Message)
		}
	}
	err = s.transact(ctx, func(tx *sql.Tx) error {
		added, err := s.insertNew(ctx, tx, Messages, records)
		if err != nil {
			return err
		}
		for id := range added {
			fresh[first[id]] = true
		}
		for i, h := range batch {
			if h.Step != nil && fresh[i] {
				if err := s.step(ctx, tx, h.Step); err != nil {
					return err
				}
			}
			if h.Beat != nil {
				if _, _, err := s.beat(ctx, tx, *h.Beat); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return fresh, nil
}

// insertNew inserts the records whose key is not there and returns those keys.
// All records have the same columns.
func (s *Store) insertNew(ctx context.Context, tx *sql.Tx, t *Table, records []Record) (added map[any]bool, err error) {
	added = map[any]bool{}
	if len(records) == 0 {
		return added, nil
	}
	var names []string
	var args []any
	var rows strings.Builder
	for i, r := range records {
		columns, values, err := bind(t, r)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			names = columns
		} else if len(columns) != len(names) {
			return nil, fmt.Errorf("store: records of %s in one batch differ in their columns", t.Name)
		}
		for j, v := range values {
			args = append(args, v)
			rows.WriteString(separator(i, j) + s.dialect.mark(len(args)))
		}
	}
	query := fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (%s) DO NOTHING RETURNING %s",
		t.Name, strings.Join(names, ", "), rows.String(), t.Key, t.Key)
	found, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, asConflict(t, err)
	}
	defer found.Close()
	for found.Next() {
		var key string
		if err := found.Scan(&key); err != nil {
			return nil, fmt.Errorf("store: insert into %s: %w", t.Name, err)
		}
		added[key] = true
	}
	if err := found.Err(); err != nil {
		return nil, asConflict(t, err)
	}
	return added, nil
}

// separator is what stands before the value in column j of row i.
func separator(i, j int) string {
	switch {
	case j > 0:
		return ", "
	case i > 0:
		return "), ("
	}
	return ""
}

// step moves a run's state, which is made if there is none: agents may begin
// in mid-run, and a launcher need not have made it.
func (s *Store) step(ctx context.Context, tx *sql.Tx, step *RunStep) error {
	now := s.now().UTC()
	const make = `INSERT INTO run_states (run_number, phase, state, substate, target_worker_count, state_changed_at, created_at, updated_at, metadata)
		VALUES ($1, 'initializing', 'imminent', 'preparing', 0, $2, $2, $2, '{}') ON CONFLICT (run_number) DO NOTHING`
	if _, err := tx.ExecContext(ctx, make, step.Run, now.UnixMicro()); err != nil {
		return fmt.Errorf("store: run state %d: %w", step.Run, err)
	}
	var rank, at int64
	var tick float64
	var metadata sql.NullString
	err := tx.QueryRowContext(ctx, `SELECT heard_rank, heard_tick, heard_at, metadata FROM run_states WHERE run_number = $1`+s.dialect.forUpdate,
		step.Run).Scan(&rank, &tick, &at, &metadata)
	if err != nil {
		return fmt.Errorf("store: run state %d: %w", step.Run, err)
	}
	if !step.beyond(rank, tick, at) {
		return nil
	}
	set := Record{"state_changed_at": now, "updated_at": now, "metadata": withExecution(metadata.String, step.ExecutionID)}
	for name, value := range step.Set {
		set[name] = value
	}
	query, args, err := updateSQL(RunStates, step.Run, set)
	if err != nil {
		return err
	}
	if _, err := one(ctx, tx, RunStates, query, args); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE run_states SET heard_rank = $1, heard_tick = $2, heard_at = $3 WHERE run_number = $4`,
		step.Rank, step.Tick, step.At.UnixMicro(), step.Run)
	if err != nil {
		return fmt.Errorf("store: run state %d: %w", step.Run, err)
	}
	return nil
}

func (step *RunStep) beyond(rank int64, tick float64, at int64) bool {
	switch {
	case step.Rank != rank:
		return step.Rank > rank
	case step.Tick != tick:
		return step.Tick > tick
	}
	return step.At.UnixMicro() > at
}

// withExecution is a run's metadata with the execution, unless that has one.
func withExecution(metadata, execution string) any {
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(metadata), &object) != nil || object == nil {
		object = map[string]json.RawMessage{}
	}
	if old := string(object["execution_id"]); execution != "" && (old == "" || old == "null" || old == `""`) {
		quoted, err := json.Marshal(execution)
		if err == nil {
			object["execution_id"] = quoted
			if whole, err := json.Marshal(object); err == nil {
				return json.RawMessage(whole)
			}
		}
	}
	if metadata == "" {
		return nil
	}
	return json.RawMessage(metadata)
}
