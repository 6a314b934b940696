package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/epic-swf/testbed/swf"
)

// Options say where a store is.
type Options struct {
	Path string           // the SQLite file; its folder must exist
	DSN  swf.Secret       // instead of Path: a PostgreSQL database, as URL or as key=value
	Keep time.Duration    // Run removes what is older (see Prune); 0: nothing for its age
	Now  func() time.Time // nil: time.Now; the clock by which heartbeats are judged
	Log  *slog.Logger     // nil: nothing is logged
}

// Store is an open store. It is safe for concurrent use, also by several
// processes. A crash of the process loses nothing that was answered; a power
// failure may lose the last moments of SQLite.
type Store struct {
	write, read *sql.DB // in SQLite one connection writes and several read
	dialect     dialect
	now         func() time.Time
	log         *slog.Logger
	opened      time.Time
	keep        time.Duration
	beats       group

	sweeping sync.Mutex
	silent   map[string]bool // executions of whose owner the last sweep found nobody
}

// Open opens the store, making the SQLite file (0600) if there is none, and
// brings its schema up to date. Errors are *swf.Error (bad_environment).
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := open(ctx, o)
	if err == nil {
		return s, nil
	}
	if o.DSN != "" {
		return nil, swf.E(swf.CodeEnvironment, fmt.Sprintf("the monitor's database %s cannot be opened: %v", databaseName(o.DSN), err),
			"check that PostgreSQL runs there, that the database exists and that the login may make tables in it").Because(err)
	}
	return nil, swf.E(swf.CodeEnvironment, fmt.Sprintf("the monitor's store %s cannot be opened: %v", o.Path, err),
		"check that its folder exists, is yours and has space; a file that is damaged can be moved away").Because(err)
}

// databaseName shows which database a DSN names, and no password.
func databaseName(dsn swf.Secret) string {
	c, err := pgx.ParseConfig(dsn.Reveal())
	if err != nil {
		return "(its name cannot be read)"
	}
	return fmt.Sprintf("%s on %s", c.Database, c.Host)
}

func open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{now: o.Now, log: o.Log, keep: o.Keep}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.opened = s.now()
	var err error
	if o.DSN != "" {
		err = s.openPostgres(o.DSN.Reveal())
	} else {
		err = s.openFile(o.Path)
	}
	if err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes the store. Calls in flight fail.
func (s *Store) Close() error {
	if s.read == s.write {
		return s.write.Close()
	}
	return errors.Join(s.read.Close(), s.write.Close())
}

// transact runs f in a write transaction, which a returned error undoes.
func (s *Store) transact(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotBegun, err)
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
