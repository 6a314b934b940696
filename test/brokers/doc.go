// Package brokers runs the real brokers, ActiveMQ Classic and Apache Artemis,
// for a test: with the configuration of deploy/, on loopback, in a temporary
// folder, and gone at the test's end. Where one is not installed the test is
// skipped, in CI it fails ("make brokers" installs both).
//
// It must not know what is sent over them. Start reading at server.go.
package brokers
