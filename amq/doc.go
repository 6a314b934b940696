// Package amq is a STOMP client that never gives up: a Conn keeps two
// connections to a broker, one to publish and one to consume, dials them again
// for ever with a jittered back-off, and puts every subscription back.
//
// It is written on go-stomp and fences off what go-stomp cannot do safely
// (late receipts, races with a dying connection, unbounded frames). It must
// know nothing of testbeds, commands or agents. Start reading at conn.go; then
// link.go, one STOMP connection, and wire.go, the fence.
package amq
