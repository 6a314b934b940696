// Package monitor is the client of the testbed's monitor: the REST contract of
// the existing Django monitor, which our own monitor/api serves too.
//
// It must not know how the monitor keeps anything, nor retry: whoever calls
// decides what a monitor that is down means. Start reading at client.go.
package monitor
