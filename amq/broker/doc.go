// Package broker is a STOMP broker for one process: queues and topics in
// memory, STOMP 1.0 to 1.2, every buffer bounded. It has no persistence, and
// refuses with an ERROR what else it lacks: other destinations than /queue/ and
// /topic/, selectors, wildcards. A NACK drops the message.
//
// Frames have go-stomp's vocabulary but our own reading and writing (codec.go
// says why). It must know nothing of what is sent. Start reading at broker.go.
package broker
