// Package store keeps what happened in the testbed: agents and their
// heartbeats, definitions and executions of workflows, runs, files, slices,
// messages, logs and the sequences that number them, in SQLite or PostgreSQL.
//
// It must not know HTTP or the bus. Records are generic, described by the
// tables in tables.go; beat.go, record.go, sequences.go, sweep.go and
// retention.go are the few operations that are more than a record, dialect.go
// is what the databases differ in. Start reading at store.go.
package store
