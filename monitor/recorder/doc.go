// Package recorder writes down what is said on the bus: workflow messages, the
// heartbeats among them, and how runs move (contract 1.5). The bus never waits
// for it: what does not fit in its bounded queue is counted and lost, and a
// store that is away is tried again.
//
// It must not know HTTP. What it makes of a message is in message.go; start
// reading at recorder.go.
package recorder
