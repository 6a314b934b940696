package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// How long nobody may have been heard who could end an execution: programs of
// ours beat every 10 s, the Python ones every 30 s (design 4c.4).
const (
	LostAfter       = 30 * time.Second
	LostAfterPython = 95 * time.Second
)

// reasonSilent is why an execution is lost.
const reasonSilent = "neither its runner nor its manager has been heard of; what they tell later replaces this"

// SweepExecutions marks executions as lost that are running and whose owner has
// neither a runner nor a manager that would end them, as far as heartbeats tell,
// and returns how many. That is a guess: a terminal status that the owner tells
// later replaces it, as every PATCH does.
//
// An owner counts as silent when two sweeps in a row found him so, which leaves
// one whose way to the monitor was cut the time for a heartbeat. The lease starts
// anew when the store is opened.
func (s *Store) SweepExecutions(ctx context.Context) (lost int64, err error) {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	now := s.now()
	if s.opened.After(now.Add(-LostAfter)) {
		return 0, nil
	}
	running, err := s.running(ctx)
	if err != nil || len(running) == 0 {
		s.silent = nil
		return 0, err
	}
	beating, err := s.beating(ctx, now)
	if err != nil {
		return 0, err
	}
	silent := map[string]bool{}
	for _, x := range running {
		if x.owned(beating) || !beating.judges(x) && s.opened.After(now.Add(-LostAfterPython)) {
			continue
		}
		silent[x.id] = true
		if !s.silent[x.id] {
			continue
		}
		done, err := s.lose(ctx, x, now)
		if err != nil {
			return lost, err
		}
		if done {
			lost++
			s.log.Warn("an execution is lost", "execution_id", x.id, "executed_by", x.owner)
		}
	}
	s.silent = silent
	return lost, nil
}

// underWay is an execution whose status is running.
type underWay struct {
	id, owner string
	metrics   sql.NullString
}

func (s *Store) running(ctx context.Context) (all []underWay, err error) {
	rows, err := s.read.QueryContext(ctx, `SELECT execution_id, executed_by, performance_metrics FROM workflow_executions WHERE status = $1`, swf.ExecutionRunning)
	if err != nil {
		return nil, fmt.Errorf("store: running executions: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var x underWay
		if err := rows.Scan(&x.id, &x.owner, &x.metrics); err != nil {
			return nil, fmt.Errorf("store: running executions: %w", err)
		}
		all = append(all, x)
	}
	return all, rows.Err()
}

// heartbeats are the agents that may be alive, by instance_name.
type heartbeats struct {
	alive map[string]string // agent_type of those within their lease
	ours  map[string]bool   // users of whom a program of ours has been heard, ever
}

// beating reads who has been heard. Programs of ours number their heartbeats;
// others get the longer lease.
func (s *Store) beating(ctx context.Context, now time.Time) (h heartbeats, err error) {
	h = heartbeats{alive: map[string]string{}, ours: map[string]bool{}}
	rows, err := s.read.QueryContext(ctx, `SELECT instance_name, agent_type, COALESCE(last_heartbeat, 0), status, metadata FROM agents
		WHERE agent_type IN ($1, $2) OR last_heartbeat >= $3`, swf.AgentTypeManager, runnerType, now.Add(-LostAfterPython).UnixMicro())
	if err != nil {
		return h, fmt.Errorf("store: heartbeats: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, kind, status string
		var at int64
		var metadata sql.NullString
		if err := rows.Scan(&name, &kind, &at, &status, &metadata); err != nil {
			return h, fmt.Errorf("store: heartbeats: %w", err)
		}
		var told struct {
			Seq      *int64 `json:"seq"`
			Protocol int    `json:"protocol"`
		}
		_ = json.Unmarshal([]byte(metadata.String), &told) // whatever else it is, it is not ours
		lease := LostAfterPython
		if told.Seq != nil {
			lease = LostAfter
			h.ours[ownerOf(name)] = true
		}
		if kind == swf.AgentTypeManager && told.Protocol < 2 {
			continue // a Python manager does not end executions
		}
		if status != swf.StatusExited && time.UnixMicro(at).After(now.Add(-lease)) {
			h.alive[name] = kind
		}
	}
	return h, rows.Err()
}

// judges reports whether it is known which lease an execution's owner has.
func (h heartbeats) judges(x underWay) bool { return h.ours[x.owner] }

// runnerType is the agent_type of a runner (contract 7.1); one that runs a
// single workflow is called after that.
const runnerType = "DAQ_Simulator"

// owned reports whether somebody lives who will end x: its user's manager, or a
// runner of his.
func (x underWay) owned(h heartbeats) bool {
	workflow, _, _ := strings.Cut(x.id, "-")
	for name, kind := range h.alive {
		if ownerOf(name) != x.owner {
			continue
		}
		if kind == swf.AgentTypeManager || strings.EqualFold(kind, runnerType) || kind == "workflow_runner" || strings.EqualFold(kind, workflow) {
			return true
		}
	}
	return false
}

// ownerOf reads the username out of an agent's name: agent-manager-{user}, or
// {type}-agent-{user}-{id}.
func ownerOf(name string) string {
	if user, ok := strings.CutPrefix(name, swf.ManagerInstance("")); ok {
		return user
	}
	_, rest, _ := strings.Cut(name, "-agent-")
	if at := strings.LastIndexByte(rest, '-'); at > 0 {
		return rest[:at]
	}
	return ""
}

// lose marks one execution, unless its end was told meanwhile.
func (s *Store) lose(ctx context.Context, x underWay, now time.Time) (bool, error) {
	metrics := map[string]json.RawMessage{}
	if json.Unmarshal([]byte(x.metrics.String), &metrics) != nil || metrics == nil {
		metrics = map[string]json.RawMessage{}
	}
	metrics["reason"], _ = json.Marshal(reasonSilent)
	body, err := json.Marshal(metrics)
	if err != nil {
		return false, fmt.Errorf("store: lose %s: %w", x.id, err)
	}
	res, err := s.write.ExecContext(ctx, `UPDATE workflow_executions SET status = $1, end_time = $2, performance_metrics = $3
		WHERE execution_id = $4 AND status = $5`, swf.ExecutionLost, now.UnixMicro(), string(body), x.id, swf.ExecutionRunning)
	if err != nil {
		return false, fmt.Errorf("store: lose %s: %w", x.id, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}
