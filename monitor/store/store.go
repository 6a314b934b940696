package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver registers itself with database/sql

	"github.com/epic-swf/testbed/swf"
)

// readers is how many connections read at once beside the one that writes.
const readers = 4

// Options say where a store is.
type Options struct {
	Path string           // the SQLite file; its folder must exist
	Now  func() time.Time // nil: time.Now; the clock by which heartbeats are judged
	Log  *slog.Logger     // nil: nothing is logged
}

// Store is an open store. One connection writes, several read; it is safe for
// concurrent use, also by several processes. A crash of the process loses
// nothing that was answered; a power failure may lose the last moments.
type Store struct {
	write, read *sql.DB
	now         func() time.Time
	log         *slog.Logger
	opened      time.Time
}

// Open opens the store at o.Path, making the file (0600) and bringing its
// schema up to date as needed. Errors are *swf.Error (bad_environment).
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := open(ctx, o)
	if err != nil {
		return nil, swf.E(swf.CodeEnvironment, fmt.Sprintf("the monitor's store %s cannot be opened: %v", o.Path, err),
			"check that its folder exists, is yours and has space; a file that is damaged can be moved away").Because(err)
	}
	return s, nil
}

func open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{now: o.Now, log: o.Log}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.opened = s.now()
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	// SQLite would make the file with the umask's rights.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if s.write, err = openSQLite(path, "immediate", 1); err != nil {
		return nil, err
	}
	if s.read, err = openSQLite(path, "deferred", readers); err != nil {
		return nil, errors.Join(err, s.write.Close())
	}
	if err := migrate(ctx, s.write); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openSQLite opens a pool of at most conns connections. txlock "immediate"
// takes the write lock at BEGIN, so no transaction fails half-way on it.
func openSQLite(path, txlock string, conns int) (*sql.DB, error) {
	q := url.Values{"_txlock": {txlock}, "_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)",
	}}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", path, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// Close closes the store. Calls in flight fail.
func (s *Store) Close() error {
	return errors.Join(s.read.Close(), s.write.Close())
}

// transact runs f in a write transaction, which a returned error undoes.
func (s *Store) transact(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	defer tx.Rollback() // after Commit it does nothing; before, the error that matters is f's
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	return nil
}
