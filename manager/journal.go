package manager

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// phase is how far a command has come. Each step is on disk before the next
// one begins.
type phase string

const (
	phaseAccepted phase = "accepted" // will have an outcome
	phaseBegun    phase = "begun"    // expiry no longer counts
	phaseActing   phase = "acting"   // something may have changed
	phaseDone     phase = "done"     // the outcome stands
)

// record is what the journal keeps of one command.
type record struct {
	Command    control.Command `json:"command"`
	Intent     string          `json:"intent"` // "" in the tombstone of an id that never arrived
	Phase      phase           `json:"phase"`
	ReplyTos   []replyTo       `json:"reply_to_keys,omitempty"`
	Targets    []string        `json:"targets,omitempty"` // stop: the ids of the starts that it is meant for
	Outcome    *control.Reply  `json:"outcome,omitempty"`
	AcceptedAt time.Time       `json:"accepted_at"`
	DoneAt     time.Time       `json:"done_at,omitzero"`
}

var (
	bucketCommands = []byte("commands")
	bucketMeta     = []byte("meta")
	keyCreated     = []byte("created_at")
	keyBarrier     = []byte("barrier")
)

// journal is the durable memory of commands. bbolt may panic or fault on a
// damaged file, so one goroutine does all the work and turns both into errors;
// after the first such error the journal is sealed and takes nothing more.
// Safe for concurrent use.
type journal struct {
	path    string
	created time.Time
	db      *bolt.DB
	work    chan func()
	stop    chan struct{}
	done    chan struct{}
	ended   func(*record) // is told each outcome once it is written; nil: nobody is

	mu       sync.Mutex
	sealed   error
	readable bool // although it is sealed: what is in it stands, nothing can be added
	count    int
}

// openJournal opens or creates the journal. A file that cannot be used gives
// a sealed journal, not an error: the manager must still answer.
func openJournal(path string) *journal {
	j := &journal{path: path, work: make(chan func()), stop: make(chan struct{}), done: make(chan struct{})}
	go j.serve()
	if err := j.do(j.open); err != nil {
		j.seal(err)
	}
	return j
}

func (j *journal) open() error {
	if err := os.MkdirAll(filepath.Dir(j.path), 0o700); err != nil {
		return err
	}
	db, err := bolt.Open(j.path, 0o600, &bolt.Options{Timeout: time.Second})
	if errors.Is(err, berrors.ErrTimeout) {
		return swf.E(swf.CodeManagerRunning, "another process holds the journal "+j.path, "stop it: testbed agent-manager stop")
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return errors.Join(err, j.openToRead())
	}
	if err != nil {
		return err
	}
	j.db = db
	return db.Update(func(tx *bolt.Tx) error {
		if err := check(tx); err != nil {
			return err
		}
		commands, err := tx.CreateBucketIfNotExists(bucketCommands)
		if err != nil {
			return err
		}
		meta, err := tx.CreateBucketIfNotExists(bucketMeta)
		if err != nil {
			return err
		}
		j.count = commands.Stats().KeyN
		if b := meta.Get(keyCreated); b != nil {
			if err := j.created.UnmarshalText(b); err != nil || !j.created.After(time.Now()) {
				return err
			}
		}
		j.created = time.Now() // it is new, or the clock was ahead when it was made
		return putTime(meta, keyCreated, j.created)
	})
}

// openToRead opens a journal that cannot be written: old outcomes are told
// still. An error leaves it closed.
func (j *journal) openToRead() error {
	db, err := bolt.Open(j.path, 0o600, &bolt.Options{Timeout: time.Second, ReadOnly: true})
	if err != nil {
		return err
	}
	err = db.View(func(tx *bolt.Tx) error {
		if err := check(tx); err != nil {
			return err
		}
		meta := tx.Bucket(bucketMeta)
		if meta == nil || tx.Bucket(bucketCommands) == nil {
			return errors.New("it is empty")
		}
		return j.created.UnmarshalText(meta.Get(keyCreated))
	})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	j.db, j.readable = db, true
	return nil
}

// check reads everything here, where a fault is a panic, before bbolt's own
// check reads it on a goroutine where it would end the process.
func check(tx *bolt.Tx) error {
	err := tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			if !bytes.Equal(b.Get(k), v) { // the way to a key reads those of the branches
				return fmt.Errorf("key %q is not where it should be", k)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	found := 0
	for damage := range tx.Check() { // to its end, so that its goroutine ends, but not to four billion
		err = cmp.Or(err, damage)
		if found++; found == 1000 {
			break
		}
	}
	return err
}

// serve runs the work in one goroutine whose faults are panics.
func (j *journal) serve() {
	defer close(j.done)
	debug.SetPanicOnFault(true)
	for {
		select {
		case f := <-j.work:
			f()
		case <-j.stop:
			return
		}
	}
}

// do runs f on the journal's goroutine and seals the journal when it panics.
func (j *journal) do(f func() error) (err error) {
	result := make(chan error, 1)
	j.work <- func() {
		defer func() {
			if p := recover(); p != nil {
				err := fmt.Errorf("the journal is damaged: %v", p)
				j.seal(err)
				j.mu.Lock()
				j.readable = false
				j.mu.Unlock()
				result <- err
			}
		}()
		result <- f()
	}
	return <-result
}

func (j *journal) seal(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.sealed == nil {
		j.sealed = err
	}
}

// Sealed returns why the journal takes nothing, or nil.
func (j *journal) Sealed() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.sealed == nil {
		return nil
	}
	return swf.E(swf.CodeJournalSealed, fmt.Sprintf("the journal %s cannot be used: %v", j.path, j.sealed),
		"only ping and status are answered; stop the agents with testbed stop-agents, move the journal away and restart the manager").Because(j.sealed)
}

// Close ends the goroutine and the file.
func (j *journal) Close() error {
	err := j.do(func() error {
		if j.db == nil {
			return nil
		}
		return j.db.Close()
	})
	close(j.stop)
	<-j.done
	return err
}

func (j *journal) update(f func(commands, meta *bolt.Bucket) error) error {
	if err := j.Sealed(); err != nil {
		return err
	}
	return j.do(func() error {
		return j.db.Update(func(tx *bolt.Tx) error { return f(tx.Bucket(bucketCommands), tx.Bucket(bucketMeta)) })
	})
}

func (j *journal) view(f func(commands, meta *bolt.Bucket) error) error {
	j.mu.Lock()
	readable := j.readable
	j.mu.Unlock()
	if err := j.Sealed(); err != nil && !readable {
		return err
	}
	return j.do(func() error {
		return j.db.View(func(tx *bolt.Tx) error { return f(tx.Bucket(bucketCommands), tx.Bucket(bucketMeta)) })
	})
}

// Get returns the record of an id, or nil.
func (j *journal) Get(id string) (*record, error) {
	var r *record
	err := j.view(func(commands, _ *bolt.Bucket) error {
		b := commands.Get([]byte(id))
		if b == nil {
			return nil
		}
		r = new(record)
		return json.Unmarshal(b, r)
	})
	return r, err
}

// Put writes a record and returns when it is on disk. A record that begins a
// barrier (design, rule 5) moves it in the same transaction.
func (j *journal) Put(r *record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	fresh := 0
	err = j.update(func(commands, meta *bolt.Bucket) error {
		if commands.Get([]byte(r.Command.ID)) == nil {
			fresh = 1
		}
		if isBarrier(r.Command.Verb) && r.Phase != phaseDone {
			if err := raiseTime(meta, keyBarrier, r.Command.IssuedAt); err != nil {
				return err
			}
		}
		return commands.Put([]byte(r.Command.ID), b)
	})
	if err == nil {
		j.addCount(fresh)
		j.tellEnded(r)
	}
	return err
}

// tellEnded passes on an outcome; the tombstone of an id that never arrived is
// none.
func (j *journal) tellEnded(r *record) {
	if j.ended != nil && r.Phase == phaseDone && r.Intent != "" {
		j.ended(r)
	}
}

// Modify changes the record of a known id in one transaction and returns what
// was written. An error from f leaves the record as it was.
func (j *journal) Modify(id string, f func(*record) error) (*record, error) {
	r := new(record)
	var before phase
	err := j.update(func(commands, _ *bolt.Bucket) error {
		b := commands.Get([]byte(id))
		if b == nil {
			return fmt.Errorf("command %s is not in the journal", id)
		}
		if err := json.Unmarshal(b, r); err != nil {
			return err
		}
		before = r.Phase
		if err := f(r); err != nil {
			return err
		}
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		return commands.Put([]byte(id), b)
	})
	if err == nil && before != phaseDone {
		j.tellEnded(r)
	}
	return r, err
}

// Barrier returns the issue time of the latest accepted stop or restart.
func (j *journal) Barrier() (time.Time, error) {
	var t time.Time
	err := j.view(func(_, meta *bolt.Bucket) error {
		if b := meta.Get(keyBarrier); b != nil {
			return t.UnmarshalText(b)
		}
		return nil
	})
	return t, err
}

// Unfinished returns the records without an outcome, oldest first.
func (j *journal) Unfinished() ([]*record, error) {
	var open []*record
	err := j.view(func(commands, _ *bolt.Bucket) error {
		return commands.ForEach(func(_, b []byte) error {
			r := new(record)
			if err := json.Unmarshal(b, r); err != nil {
				return err
			}
			if r.Phase != phaseDone {
				open = append(open, r)
			}
			return nil
		})
	})
	slices.SortFunc(open, func(a, b *record) int { return a.AcceptedAt.Compare(b.AcceptedAt) })
	return open, err
}

func isBarrier(v control.Verb) bool { return v == control.StopTestbed || v == control.Restart }

func putTime(b *bolt.Bucket, key []byte, t time.Time) error {
	text, err := t.MarshalText()
	if err != nil {
		return err
	}
	return b.Put(key, text)
}

// raiseTime stores t unless what is stored is later.
func raiseTime(b *bolt.Bucket, key []byte, t time.Time) error {
	var old time.Time
	if text := b.Get(key); text != nil {
		if err := old.UnmarshalText(text); err != nil {
			return err
		}
	}
	if !t.After(old) {
		return nil
	}
	return putTime(b, key, t)
}
