// Package postgres starts a PostgreSQL of its own for a test: a cluster in a
// temporary folder, reached only by a socket in it, and gone at the test's
// end. Where PostgreSQL is not installed the test is skipped, in CI it fails.
//
// It must not know what is kept in its databases. Start reading at cluster.go.
package postgres
