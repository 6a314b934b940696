package store

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// postgresConns bounds the connections of one store.
const postgresConns = 10

// The conditions of PostgreSQL that matter here (its Appendix A).
const (
	pgUniqueViolation     = "23505"
	pgForeignKeyViolation = "23503"
)

// openPostgres opens the database that dsn names; it must be there.
func (s *Store) openPostgres(dsn string) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return fmt.Errorf("store: %w", err) // pgx shows no password
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "swf-monitor"
	}
	s.dialect = postgresDialect
	s.write = stdlib.OpenDB(*config)
	s.write.SetMaxOpenConns(postgresConns)
	s.write.SetMaxIdleConns(postgresConns / 2)
	s.read = s.write
	return nil
}

// keyRE is the beginning of the detail that PostgreSQL gives with a unique
// violation: "Key (a, b)=(1, 2) already exists."
var keyRE = regexp.MustCompile(`^Key \(([^()]*)\)=`)

func brokenInPostgres(t *Table, err error) (unique []string, reference bool) {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return nil, false
	}
	switch e.Code {
	case pgUniqueViolation:
		if m := keyRE.FindStringSubmatch(e.Detail); m != nil {
			for _, column := range strings.Split(m[1], ", ") {
				if _, known := t.Column(column); known {
					unique = append(unique, column)
				}
			}
		}
		if unique == nil { // the text may be in another language
			unique = []string{t.Key}
		}
		return unique, false
	case pgForeignKeyViolation:
		return nil, true
	}
	return nil, false
}
