package store

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"modernc.org/sqlite" // its driver registers itself with database/sql
	sqlite3 "modernc.org/sqlite/lib"
)

// readers is how many connections read at once beside the one that writes.
const readers = 4

// openFile opens the SQLite file, which is made (0600) if it is not there.
func (s *Store) openFile(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	// SQLite would make the file with the umask's rights.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	s.dialect = sqliteDialect
	if s.write, err = openSQLite(path, "immediate", 1); err != nil {
		return err
	}
	if s.read, err = openSQLite(path, "deferred", readers); err != nil {
		return errors.Join(err, s.write.Close())
	}
	return nil
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

func brokenInSQLite(t *Table, err error) (unique []string, reference bool) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return nil, false
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return uniqueColumns(t, e.Error()), false
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return nil, true
	}
	return nil, false
}

// failedRE is the end of SQLite's text about a broken constraint, which lists
// "table.column, table.column" and may add its number in brackets.
var failedRE = regexp.MustCompile(`failed: ([a-z_]+\.[a-z_]+(?:, [a-z_]+\.[a-z_]+)*)`)

// uniqueColumns reads the columns out of SQLite's text, in the constraint's
// order.
func uniqueColumns(t *Table, text string) []string {
	var found []string
	if m := failedRE.FindStringSubmatch(text); m != nil {
		for _, name := range strings.Split(m[1], ", ") {
			column, ours := strings.CutPrefix(name, t.Name+".")
			if _, known := t.Column(column); ours && known {
				found = append(found, column)
			}
		}
	}
	if found == nil {
		found = []string{t.Key}
	}
	return found
}
