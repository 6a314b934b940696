// Package broker is a STOMP broker for one process: queues and topics in
// memory, STOMP 1.0 to 1.2, every buffer bounded. What it does not have it
// refuses with an ERROR: other destinations than /queue/ and /topic/, selectors,
// wildcards. There is no persistence. A NACK drops the message, and an ACK that
// fits no message is an ERROR, as with ActiveMQ.
//
// It uses go-stomp's frame package for the vocabulary of frames, and its own
// reading and writing, since that package's reader trusts any content-length and
// knows one escaping for all versions. It must know nothing of what is sent
// through it. Start reading at broker.go; then session.go and queue.go.
package broker
