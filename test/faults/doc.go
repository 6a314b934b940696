// Package faults holds what is promised of commands against faults: links that
// are cut, delayed or swallow everything, and processes that are killed or
// paused, all chosen by a seed. Broker and managers are processes of their
// own, so that SIGKILL is real; supervisord is the real one throughout.
//
// It judges by what clients heard, the managers' journals, the lines that each
// program writes as it starts and stops, and supervisord's log. Start reading at
// check_test.go; planted_test.go shows that the judge can say no.
package faults
