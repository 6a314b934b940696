// Package supervisor drives supervisord: its XML-RPC interface and the life
// cycle of one supervisord and its programs, on Linux.
//
// It answers with what was observed, never with what was sent: a start has
// succeeded when one snapshot showed every program RUNNING, a shutdown when the
// process and everything it started is gone. No supervisorctl, no shell, no
// fixed sleeps. It knows nothing of testbeds. Start reading at Daemon.
package supervisor
