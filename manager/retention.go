package manager

import (
	"encoding/json"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Retention of outcomes (promise P1).
const (
	keepOutcomes = 7 * 24 * time.Hour
	keepIDs      = 100_000
	crowd        = keepIDs * 9 / 10 // above it the oldest answers go before their time
	evictAfter   = 5 * time.Second  // behind expires_at, before which no id goes
)

// Full reports whether no further id can be taken.
func (j *journal) Full() bool { return j.ids() >= keepIDs }

// Crowded reports whether the oldest ids should go before their time.
func (j *journal) Crowded() bool { return j.ids() > crowd }

func (j *journal) ids() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.count
}

func (j *journal) addCount(n int) {
	j.mu.Lock()
	j.count += n
	j.mu.Unlock()
}

// DoneSince returns the records whose outcome was written after t, oldest first.
func (j *journal) DoneSince(t time.Time) ([]*record, error) {
	var done []*record
	err := j.view(func(commands, _ *bolt.Bucket) error {
		return commands.ForEach(func(_, b []byte) error {
			r := new(record)
			if err := json.Unmarshal(b, r); err != nil {
				return err
			}
			if r.Phase == phaseDone && r.DoneAt.After(t) {
				done = append(done, r)
			}
			return nil
		})
	})
	slices.SortFunc(done, func(a, b *record) int { return a.DoneAt.Compare(b.DoneAt) })
	return done, err
}

// Sweep forgets outcomes that are past their retention and, when there are
// too many ids, the oldest ones that no late copy can match any more.
func (j *journal) Sweep(now time.Time, keep time.Duration) error {
	dropped := 0
	err := j.update(func(commands, _ *bolt.Bucket) error {
		type old struct {
			key  string
			done time.Time
		}
		var candidates []old
		err := commands.ForEach(func(k, b []byte) error {
			var r record
			if err := json.Unmarshal(b, &r); err != nil {
				return err
			}
			if r.Phase == phaseDone && now.After(r.Command.ExpiresAt.Add(evictAfter)) {
				candidates = append(candidates, old{string(k), r.DoneAt})
			}
			return nil
		})
		if err != nil {
			return err
		}
		slices.SortFunc(candidates, func(a, b old) int { return a.done.Compare(b.done) })
		for _, c := range candidates {
			if j.ids()-dropped <= crowd && now.Sub(c.done) < keep {
				break
			}
			if err := commands.Delete([]byte(c.key)); err != nil {
				return err
			}
			dropped++
		}
		return nil
	})
	if err == nil {
		j.addCount(-dropped)
	}
	return err
}
