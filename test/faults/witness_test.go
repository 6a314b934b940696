package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/epic-swf/testbed/control"
)

// effect is a line of the effect log.
type effect struct {
	stop bool
	id   string
	pid  int
	at   time.Time
}

// contains is for what /proc gives.
func contains(b []byte, text string) bool { return bytes.Contains(b, []byte(text)) }

func readEffects(path string) ([]effect, error) {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []effect
	for line := range strings.Lines(string(b)) {
		var e effect
		var word string
		var ns int64
		if _, err := fmt.Sscan(line, &word, &e.id, &e.pid, &ns); err != nil {
			return nil, fmt.Errorf("effect log %s: %q: %w", path, line, err)
		}
		e.stop, e.at = word == "stop", time.Unix(0, ns)
		all = append(all, e)
	}
	return all, nil
}

// spawned are the runners that supervisord says it has spawned: one that is
// RUNNING and stopped at once may not get to writing its line.
func (u *user) spawned() (map[int]bool, error) {
	pids := make(map[int]bool)
	text, err := os.ReadFile(filepath.Join(u.paths.Dir, "supervisord.log"))
	if os.IsNotExist(err) {
		return pids, nil
	}
	for l := range strings.Lines(string(text)) {
		var pid int
		_, told, _ := strings.Cut(l, "spawned: 'workflow-runner' with pid ")
		if _, err := fmt.Sscan(told, &pid); err == nil {
			pids[pid] = true
		}
	}
	return pids, err
}

// awaitStarts waits until programs wrote so many starts. A program is RUNNING,
// and may be stopped, a moment before it writes its line.
func (u *user) awaitStarts(n int) {
	u.s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); pause(10 * time.Millisecond) {
		effects, err := readEffects(u.effects())
		if err != nil {
			u.s.t.Fatal(err)
		}
		starts := 0
		for _, e := range effects {
			if !e.stop {
				starts++
			}
		}
		if starts >= n {
			return
		}
	}
	u.s.t.Fatalf("%d starts are not in the effect log of %s", n, u.name)
}

// journaled is what the checker reads of a journal's record.
type journaled struct {
	Intent     string         `json:"intent"`
	Phase      string         `json:"phase"`
	Outcome    *control.Reply `json:"outcome"`
	AcceptedAt time.Time      `json:"accepted_at"`
}

// readJournal reads it when its manager is dead.
func readJournal(path string) (map[string]journaled, error) {
	all := make(map[string]journaled)
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, ReadOnly: true})
	if err != nil {
		return all, err
	}
	defer db.Close()
	return all, db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("commands")).ForEach(func(k, v []byte) error {
			var j journaled
			err := json.Unmarshal(v, &j)
			all[string(k)] = j
			return err
		})
	})
}

// settled reads the effect log once every start that was told to have
// succeeded is in it: a program is RUNNING a moment before it writes its line.
func (s *site) settled(u *user) ([]effect, error) {
	for deadline := time.Now().Add(slack); ; {
		effects, err := readEffects(u.effects())
		missing := false
		for _, op := range s.history.effects() {
			if op.user == u && op.cmd.Verb == control.StartTestbed && op.succeeded() {
				missing = missing || !slices.ContainsFunc(effects, func(e effect) bool { return e.id == op.cmd.ID && e.pid == runner(op.heard.Programs) })
			}
		}
		if err != nil || !missing || time.Now().After(deadline) {
			return effects, err
		}
		pause(10 * time.Millisecond)
	}
}
