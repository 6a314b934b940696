// Package control is the command contract between whoever commands a testbed
// and the manager that obeys: Command, Reply, their signatures, and the Client
// that asks and waits for the one true outcome.
//
// It must not know supervisord, tools or HTTP. Start reading at command.go;
// the rules behind it are in docs/protocol.md.
package control
