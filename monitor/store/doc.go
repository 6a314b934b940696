// Package store keeps what happened in the testbed: agents and their
// heartbeats, definitions and executions of workflows, runs, files, logs and
// the sequences that number them. It is SQLite in one file today; the SQL is
// what SQLite and PostgreSQL both read.
//
// It must not know HTTP or the bus. Records are generic, described by the
// tables in tables.go; beat.go, sequences.go and sweep.go hold the few
// operations that are more than a record. Start reading at store.go.
package store
