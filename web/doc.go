// Package web is what every HTTP listener of the testbed shares: listening on
// loopback only, serving with time-outs and a cap on connections, stopping
// without leaving a goroutine, and the guards in front of a handler (Host and
// Origin, body size, bearer token, rate).
//
// It must not know any route or any part of the testbed but the vocabulary in
// swf. Start reading at server.go; the guards compose as
// Guard(Bearer(LimitBody(handler))).
package web
